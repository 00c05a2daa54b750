"""Tables from score datasets; none of the scores is computed here."""
