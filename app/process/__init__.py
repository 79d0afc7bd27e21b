"""What stands behind `app.engine`, and no page: store and queue, rights, what is kept and how long."""
