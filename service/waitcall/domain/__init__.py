"""The rules of a verification: its states, and when a call counts. Pure: no clock, no I/O, no framework."""
