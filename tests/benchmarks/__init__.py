"""How fast ksmlab is, each figure beside something run in the same minute; see README.md. Not part of the test suite."""
