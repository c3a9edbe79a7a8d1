"""Ids that ROR could have given, for organisations that a test makes up."""

DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"


def valid_ids(count: int) -> list[str]:
    """The first ids of ROR's form, with their check digits (ISO/IEC 7064 MOD 97-10)."""
    return [f"00000{DIGITS[n // 32]}{DIGITS[n % 32]}{98 - n * 100 % 97:02d}" for n in range(count)]
