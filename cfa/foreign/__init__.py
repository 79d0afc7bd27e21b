"""What others made: their weights and models, and logs of the official code, each as a run of the store."""
