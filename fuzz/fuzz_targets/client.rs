//! A controller that is told these bytes by an executor: each request fails or has an answer, and none waits for ever.
#![no_main]

use std::io::{self, Cursor, Write as _};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;

use farcall_executor::{
    Argument, BareExecutor, Connection, Definition, Executor, ModuleName, Order, Value,
};
use farcall_protocol::{BareHello, Hello};

#[path = "../conversation.rs"]
#[allow(dead_code, reason = "each target uses a part")]
mod conversation;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let mut hello = Vec::new();
    if kind % 4 == 3 {
        let bare = BareHello {
            software: String::new(),
            machine: "x86_64".to_owned(),
            features: 0,
            frame_limit: 1 << 20,
            page_size: 4096,
        };
        bare.encode(&mut hello).expect("it is short");
        let said = conversation::said(bytes, hello);
        if let Ok(executor) = BareExecutor::over(Cursor::new(said), io::sink()) {
            for _ in 0..4 {
                let _ = executor.ping();
            }
        }
        return;
    }
    let executor = Hello {
        software: String::new(),
        machine: "x86_64".to_owned(),
        features: 0,
        frame_limit: 1 << 20,
        docks: true,
        modules: Vec::new(),
    };
    executor.encode(&mut hello).expect("it is short");
    let said = conversation::said(bytes, hello);
    let executor = match kind % 4 {
        // One request at a time.
        0 => Executor::over(Cursor::new(said), io::sink()),
        // Through a socket, so that several are on their way. What is said fits in what a socket keeps.
        _ if said.len() > 64 << 10 => return,
        _ => {
            let (ours, mut theirs) = UnixStream::pair().expect("there are sockets");
            theirs.write_all(&said).expect("it fits");
            theirs.shutdown(Shutdown::Write).expect("it is connected");
            let result = Executor::speak(Connection::unix(ours));
            if let Ok(executor) = &result {
                converse(executor);
            }
            drop(theirs);
            result
        }
    };
    if let Ok(executor) = executor {
        converse(&executor);
    }
});

/// Asks for everything. That something fails is no reason not to ask for the next.
fn converse(executor: &Executor) {
    let module = ModuleName::Name("m");
    let _ = executor.ping();
    let mut out = [0; 3];
    let mut arguments = [Argument::Out(&mut out), Argument::Int(3)];
    if let Err(_error) = executor.call(module, "f", None, &mut arguments) {
        assert_eq!(out, [0; 3]);
    }
    let _ = executor.list();
    let _ = executor.lookup(module, "f");
    let _ = executor.define("g", None, Definition::Address(1));
    let _ = executor.define_bytes("h", b"bytes");
    if let Ok(function) = executor.function(module, "f", None) {
        let calls: Vec<_> = (0..3)
            .filter_map(|_| function.start_in(Order::Concurrent, &[]).ok())
            .collect();
        if let Some(first) = calls.first() {
            let _ = first.cancel();
        }
        for call in calls.into_iter().rev() {
            match call.try_wait() {
                Ok(answered) => drop(answered),
                Err(call) => match call.wait() {
                    Ok(Value::Int { .. }) | Ok(_) | Err(_) => {}
                },
            }
        }
    }
    if let Ok(buffer) = executor.allocate(64) {
        let _ = buffer.write(0, b"written");
        let mut read = [0; 64];
        let _ = buffer.read(0, &mut read);
    }
    if let Ok(read) = executor.peek(1, 5) {
        assert_eq!(read.len(), 5);
    }
    let _ = executor.poke(1, b"bytes");
    let _ = executor.unload(module);
    let _ = executor.statistics();
}
