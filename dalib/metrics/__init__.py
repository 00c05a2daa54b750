"""Arrays in, arrays out; a metric keeps every named dimension over which it does not average."""
