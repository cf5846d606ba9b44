"""What a verification is and when a call counts. Pure: no clock, no I/O, no framework."""
