// An archive alone that holds no object.
//# Raw: lib.a = 21 3c 61 72 63 68 3e 0a
//# ExpectError: nothing to link: no object was given
