"""Speed and memory of the selective scan. The command is `speed`."""
