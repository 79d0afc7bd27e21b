"""What an evaluation costs besides its attacks."""


def probe_passes(images: int) -> int:
    """Count the passes of the probe before a plan with attacks, an image each.

    All images twice, and once among others; 4 alone; 4 for a dynamic model; and at the images and close to
    them once for gradients, once without, and ahead and back by two steps.
    """
    return 3 * images + 4 + 4 + 2 * (2 + 4) * images
