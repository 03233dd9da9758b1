"""What a retry pass makes of the answers so far: repairs of unusable ones, escalations of doubtful ones."""
