"""ERA5 reanalysis: fields out of the files that people have, stations, and a stand-in for tests."""
