//! An object for tests that have no compiler: what loading has to do with, in a few words.

use farcall_arch::Machine;

/// Offsets in `own`, which is an array of words.
pub(crate) const TO_ITSELF: usize = 0;
pub(crate) const TO_OTHER: usize = 8;
pub(crate) const TO_ABSENT: usize = 16;
pub(crate) const PLAIN: usize = 24;
/// What `own` has at [`PLAIN`].
pub(crate) const PLAIN_VALUE: u64 = 0x0102_0304_0506_0708;

/// A relocatable object of this machine. It exports
///
/// - `own`, four words of data: the address of the fourth, that of the import `other` and four, that of the weak
///   import `absent`, and [`PLAIN_VALUE`];
/// - `function`, 16 bytes of code;
/// - `local`, a thread-local word with the address of `own`.
pub(crate) fn object(machine: Machine) -> Vec<u8> {
    let (absolute, ret): (u64, [u8; 4]) = match machine {
        // R_AARCH64_ABS64.
        Machine::Aarch64 => (257, 0xd65f_03c0_u32.to_le_bytes()),
        // R_X86_64_64.
        _ => (1, [0xc3; 4]),
    };
    let names = b"\0own\0function\0local\0other\0absent\0";
    let name = |wanted: &[u8]| {
        let mut starts = (0..names.len()).filter(|&at| names[at..].starts_with(wanted));
        starts.next().unwrap() as u64
    };
    // gABI, "Symbol Table": name, binding and type, section, value, size.
    let symbol = |wanted: &[u8], info: u64, section: u64, size: u64| {
        [name(wanted) | info << 32 | section << 48, 0, size]
    };
    const GLOBAL: u64 = 1 << 4;
    const WEAK: u64 = 2 << 4;
    let [object, func, tls] = [1, 2, 6];
    let symbols = [
        [0; 3],
        symbol(b"own\0", GLOBAL | object, DATA, 32),
        symbol(b"function\0", GLOBAL | func, TEXT, 16),
        symbol(b"local\0", GLOBAL | tls, TLS_DATA, 8),
        symbol(b"other\0", GLOBAL, 0, 0),
        symbol(b"absent\0", WEAK, 0, 0),
    ];
    let relocation = |place: usize, symbol: u64, addend: usize| {
        [place as u64, symbol << 32 | absolute, addend as u64]
    };
    let [data, thread_local] = [
        vec![
            relocation(TO_ITSELF, 1, PLAIN),
            relocation(TO_OTHER, 4, 4),
            relocation(TO_ABSENT, 5, 0),
        ],
        vec![relocation(0, 1, 0)],
    ];

    // gABI, "Section Header": name, type, flags, contents, link, info, alignment, size of an entry.
    let [progbits, symtab, strtab, rela] = [1, 2, 3, 4];
    let [write, alloc, execute, thread_local_data] = [1, 2, 4, 0x400];
    let bytes = |words: &[[u64; 3]]| -> Vec<u8> {
        let words = words.as_flattened().iter();
        words.flat_map(|it| it.to_le_bytes()).collect()
    };
    let section_names = b"\0.text\0.data\0.tdata\0.rela\0.names\0";
    type Section = (u64, u64, u64, Vec<u8>, u64, u64, u64);
    let sections: [Section; 8] = [
        (0, 0, 0, vec![], 0, 0, 0),
        (1, progbits, alloc | execute, ret.repeat(4), 0, 0, 0),
        (
            7,
            progbits,
            alloc | write,
            [[0; 24].as_slice(), &PLAIN_VALUE.to_le_bytes()].concat(),
            0,
            0,
            0,
        ),
        (
            13,
            progbits,
            alloc | write | thread_local_data,
            vec![0; 8],
            0,
            0,
            0,
        ),
        (20, rela, 0, bytes(&data), SYMBOLS, DATA, 24),
        (20, rela, 0, bytes(&thread_local), SYMBOLS, TLS_DATA, 24),
        (26, symtab, 0, bytes(&symbols), NAMES, 1, 24),
        // Both kinds of names.
        (
            26,
            strtab,
            0,
            [names, section_names.as_slice()].concat(),
            0,
            0,
            0,
        ),
    ];
    let mut contents = Vec::new();
    let mut headers = Vec::new();
    for (section_name, kind, flags, bytes, link, info, entry_size) in sections {
        let section_name = match kind {
            0 => 0,
            _ => names.len() as u64 + section_name,
        };
        let offset = HEADER + contents.len() as u64;
        headers.extend([section_name | kind << 32, flags, 0, offset]);
        headers.extend([bytes.len() as u64, link | info << 32, 8, entry_size]);
        contents.extend(bytes);
        contents.resize(contents.len().next_multiple_of(8), 0);
    }
    // gABI, "ELF Header": 64 bits, little-endian, relocatable.
    let mut object = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    let n_sections = headers.len() as u64 / 8;
    for word in [
        1 | u64::from(machine.e_machine()) << 16 | 1 << 32,
        0,
        0,
        HEADER + contents.len() as u64,
        HEADER << 32,
        64 << 16 | n_sections << 32 | NAMES << 48,
    ] {
        object.extend(word.to_le_bytes());
    }
    object.extend(contents);
    object.extend(headers.into_iter().flat_map(u64::to_le_bytes));
    object
}

const HEADER: u64 = 64;
/// The indices of the sections.
const TEXT: u64 = 1;
const DATA: u64 = 2;
const TLS_DATA: u64 = 3;
const SYMBOLS: u64 = 6;
const NAMES: u64 = 7;
