//! Listening on a Unix socket or a TCP port.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::transport::{Connection, GREETING_TIME, Patience};
use crate::{Address, Error, Result};

/// A place where controllers connect. Dropping it removes the socket's file.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Dropped first: the file goes while nobody else can take it for a stale one.
    _file: Option<SocketFile>,
    socket: Socket,
    address: Address,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `address`.
    ///
    /// A Unix socket's file that nobody listens at any more is replaced; the new one is for its
    /// owner alone (mode 0600), from the moment it exists.
    pub(crate) fn bind(address: &Address) -> Result<Self> {
        let listen = |source| Error::Listen {
            address: address.clone(),
            source,
        };
        match address {
            Address::Unix(path) => {
                let (listener, file) = bind_unix(address, path)?;
                listener.set_nonblocking(true).map_err(listen)?;
                Ok(Self {
                    _file: Some(file),
                    socket: Socket::Unix(listener),
                    address: address.clone(),
                })
            }
            Address::Tcp { host, port } => {
                let listener = match TcpListener::bind((host.as_str(), *port)) {
                    Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                        return Err(Error::InUse {
                            address: address.clone(),
                        });
                    }
                    other => other.map_err(listen)?,
                };
                listener.set_nonblocking(true).map_err(listen)?;
                let port = listener.local_addr().map_err(listen)?.port();
                Ok(Self {
                    _file: None,
                    socket: Socket::Tcp(listener),
                    address: Address::Tcp {
                        host: host.clone(),
                        port,
                    },
                })
            }
        }
    }

    /// The address, with the actual port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether only processes of this machine can connect.
    pub(crate) fn is_local(&self) -> bool {
        match &self.socket {
            Socket::Unix(_) => true,
            Socket::Tcp(listener) => {
                (listener.local_addr()).is_ok_and(|address| address.ip().is_loopback())
            }
        }
    }

    /// The next connection; an error of kind `WouldBlock` when none waits.
    pub(crate) fn accept(&self) -> io::Result<Connection> {
        match &self.socket {
            Socket::Unix(listener) => Ok(Connection::unix(listener.accept()?.0)),
            Socket::Tcp(listener) => Connection::tcp(listener.accept()?.0),
        }
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match &self.socket {
            Socket::Unix(listener) => listener.as_fd(),
            Socket::Tcp(listener) => listener.as_fd(),
        }
    }
}

/// Connects to the executor at `address`. Reading fails when nothing comes for as long as [`GREETING_TIME`], until the socket that
/// comes with the connection is told otherwise.
pub(crate) fn connect(address: &Address) -> Result<(Connection, Patience)> {
    let connect = || {
        let connection = match address {
            Address::Unix(path) => Connection::unix(UnixStream::connect(path)?),
            Address::Tcp { host, port } => Connection::tcp(connect_tcp(host, *port)?)?,
        };
        let patience = Patience::of(&connection)?;
        io::Result::Ok((connection, patience))
    };
    connect().map_err(|source| Error::Connect {
        address: address.clone(),
        source,
    })
}

/// The first of the host's addresses that answers.
fn connect_tcp(host: &str, port: u16) -> io::Result<TcpStream> {
    let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
    for address in (host, port).to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, GREETING_TIME) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// The file of a Unix socket. Dropping it removes the file, if it is still this socket's.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn at(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|now| (now.dev(), now.ino()) == (self.device, self.inode));
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!("{}: cannot remove: {error}", self.path.display());
        }
    }
}

fn bind_unix(address: &Address, path: &Path) -> Result<(UnixListener, SocketFile)> {
    let listen = |source| Error::Listen {
        address: address.clone(),
        source,
    };
    let _turn = take_turn(path).map_err(listen)?;

    match fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(Error::NotASocket {
                address: address.clone(),
            });
        }
        Ok(_) => match UnixStream::connect(path) {
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                tracing::info!("{address}: nobody listens there any more, taking it over");
                fs::remove_file(path).map_err(listen)?;
            }
            // An error other than that does not say that nobody is there.
            _ => {
                return Err(Error::InUse {
                    address: address.clone(),
                });
            }
        },
        Err(_) => {}
    }
    bind_new(path).map_err(listen)
}

/// Waits until no other executor is about to listen in the same folder, so that none takes the
/// socket that another has just made for a stale one. The turn ends with the file given.
fn take_turn(path: &Path) -> io::Result<File> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = File::open(folder)?;
    let start = Instant::now();
    while let Err(TryLockError::WouldBlock) = folder.try_lock() {
        // A turn takes a moment. Whoever holds the lock for longer is no executor, and shall not
        // keep this one from starting.
        if start.elapsed() > Duration::from_secs(2) {
            tracing::warn!(
                "{}: the folder is locked by another program",
                path.display()
            );
            break;
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(folder)
}

/// Makes the socket's file and listens. There is no file at `path`.
fn bind_new(path: &Path) -> io::Result<(UnixListener, SocketFile)> {
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    // On Linux `bind` gives the file the mode of the socket, less the umask: so there is no moment
    // in which it has another one.
    rustix::fs::fchmod(&socket, Mode::RUSR | Mode::WUSR)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    let file = SocketFile::at(path)?;
    rustix::net::listen(&socket, 128)?;
    Ok((UnixListener::from(socket), file))
}
