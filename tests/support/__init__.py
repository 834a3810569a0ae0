"""tests/support -- what tests need to run a real gateway: processes, raw clients, waiting."""
