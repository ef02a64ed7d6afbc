"""Speed and memory of the selective scan; the command is `speed`."""
