"""What leaves the registry: the command, the summary report, and the exports."""
