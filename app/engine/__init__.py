"""The pages' only way to the engine, one subject a file; every function says who may call it."""
