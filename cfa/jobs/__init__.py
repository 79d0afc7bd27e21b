"""Jobs: the queue, a thread per device that supervises, and workers as processes of their own."""
