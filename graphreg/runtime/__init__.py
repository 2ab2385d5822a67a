"""How the work is done: pieces, devices, what it costs, signals, memory."""
