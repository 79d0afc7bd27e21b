"""What an evaluation costs besides its attacks."""


def probe_passes(images: int, batches: int = 1) -> int:
    """Count the passes of the probe before a plan with attacks, an image each.

    All images twice, once among others and once for gradients; 4 alone; 4 for a dynamic model; and of each
    batch 16 moved ahead and back by two steps.
    """
    return 4 * images + 4 + 4 + 4 * 16 * batches
