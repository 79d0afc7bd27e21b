"""CFA Studio: class-wise calibrated fair adversarial training, attacked properly and shown per class."""
