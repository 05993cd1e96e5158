// An input that is neither object nor archive.
//# Raw: notes.txt = 68 65 6c 6c 6f
//# ExpectError: notes.txt: not an object file or archive
