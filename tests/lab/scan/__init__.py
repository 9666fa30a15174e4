"""A scan of all that a test run leaves behind (files, logs, hosts, argv and environ of processes) for its secrets."""
