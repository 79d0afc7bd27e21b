"""Parts of the door to the engine, one subject a file; pages reach them through `app.services`."""
