"""From tables to verdicts: the paper's claims, the rules that decide them, measured against published."""
