"""What a NetworkPolicy says: its normal form, and the rules by which it is judged; pure."""
