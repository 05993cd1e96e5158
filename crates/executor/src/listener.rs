//! Listening on a Unix socket or a TCP port.

use std::fs::{self, File, TryLockError};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::transport::Connection;
use crate::{Address, Error, Result, Timeouts, TlsServer};

/// A place where controllers connect. Dropping it removes the socket's file.
#[derive(Debug)]
pub(crate) struct Listener {
    /// Dropped first: the file goes while nobody else can take it for a stale one.
    _file: Option<SocketFile>,
    socket: Socket,
    address: Address,
    tls: Option<TlsServer>,
}

#[derive(Debug)]
enum Socket {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Listener {
    /// Listens at `address`, which is for TLS if there is some.
    ///
    /// A Unix socket's file that nobody listens at any more is replaced; the new one is for its
    /// owner alone (mode 0600), from the moment it exists.
    pub(crate) fn bind(address: &Address, tls: Option<TlsServer>) -> Result<Self> {
        let listen = |source| Error::Listen {
            address: address.clone(),
            source,
        };
        match address {
            Address::Tls { .. } if tls.is_none() => Err(Error::needs_credentials(address)),
            // Whoever has credentials is not to serve in the clear by mistake.
            Address::Unix(_) | Address::Tcp { .. } if tls.is_some() => {
                Err(Error::not_for_tls(address))
            }
            Address::Unix(path) => {
                let (listener, file) = bind_unix(address, path)?;
                listener.set_nonblocking(true).map_err(listen)?;
                Ok(Self {
                    _file: Some(file),
                    socket: Socket::Unix(listener),
                    address: address.clone(),
                    tls,
                })
            }
            Address::Tcp { host, port } | Address::Tls { host, port } => {
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
                    address: address.with_port(port),
                    tls,
                })
            }
        }
    }

    /// The address, with the actual port.
    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    /// Whether anyone can connect who reaches this machine.
    pub(crate) fn is_open(&self) -> bool {
        self.tls.is_none() && !self.is_local()
    }

    /// Whether who connects is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        match &self.socket {
            Socket::Unix(_) => true,
            Socket::Tcp(listener) => {
                (listener.local_addr()).is_ok_and(|address| address.ip().is_loopback())
            }
        }
    }

    /// Reads the files of certificates again, for connections that come; nothing if there are none. After an error all is as it was.
    pub(crate) fn read_credentials_again(&mut self) -> Option<Result<()>> {
        let read = self.tls.as_ref()?.read_again()?;
        Some(read.map(|tls| self.tls = Some(tls)))
    }

    /// The next connection; an error of kind `WouldBlock` when none waits.
    pub(crate) fn accept(&self, timeouts: Timeouts) -> io::Result<Connection> {
        match &self.socket {
            Socket::Unix(listener) => Ok(Connection::unix(listener.accept()?.0)),
            Socket::Tcp(listener) => {
                let stream = listener.accept()?.0;
                match &self.tls {
                    Some(server) => server.accept_with(stream, timeouts),
                    None => Connection::tcp_with(stream, timeouts),
                }
            }
        }
    }

    /// The next connection as it is, which does not wait for anything.
    pub(crate) fn accept_stream(&self) -> std::result::Result<OwnedFd, Errno> {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        rustix::net::accept_with(self, flags)
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
