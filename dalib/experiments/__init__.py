"""Studies: which runs a paper asks for, and the work of every stage over them."""
