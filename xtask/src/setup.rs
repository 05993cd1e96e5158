//! `cargo xtask setup`: installs what is missing, saying so; says and does nothing when nothing is.

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use farcall_testkit::tools;

use crate::command::{command, run as run_command, shown};
use crate::packages::{PACKAGES, Package};

/// Where packages of LLVM 22 are to be had when the distribution has none.
const LLVM_ELSEWHERE: &str =
    "https://apt.llvm.org has LLVM 22 for most releases of Debian and Ubuntu";

pub(crate) fn run(args: &[String]) -> Result<()> {
    crate::no_arguments(args)?;
    ensure()
}

/// Installs what is missing. What `test` and `demo` call first.
pub(crate) fn ensure() -> Result<()> {
    rust_components()?;
    let is_debian_like = tools::find("dpkg-query").is_ok() && tools::find("apt-get").is_ok();
    if is_debian_like {
        debian()
    } else {
        elsewhere()
    }
}

/// Formatting and clippy are part of the tests, and rustup's minimal profile has neither. Programs for other
/// targets are part of them too.
fn rust_components() -> Result<()> {
    for (component, subcommand) in [("rustfmt", "fmt"), ("clippy", "clippy")] {
        if !is_there(&mut crate::command::cargo([subcommand, "--version"])) {
            println!(
                "setup: installing the Rust component {component}, which `cargo xtask test` runs"
            );
            run_command(&mut command("rustup", ["component", "add", component]))?;
        }
    }
    for target in ["x86_64-unknown-linux-musl"] {
        if !tools::has_target(target) {
            println!("setup: installing the Rust target {target}, for which tests build programs");
            run_command(&mut command("rustup", ["target", "add", target]))?;
        }
    }
    Ok(())
}

fn debian() -> Result<()> {
    let missing = missing_from_dpkg()?;
    if missing.is_empty() {
        return Ok(());
    }
    println!("setup: installing what farcall is built and tested with:");
    print_reasons(&missing);
    let root = is_root()?;
    if !root && tools::find("sudo").is_err() {
        bail!(
            "no root and no sudo: run as root: apt-get install {}",
            names(&missing)
        );
    }

    run_shown(&mut as_root(root, &["apt-get", "update"]))?;
    let unknown: Vec<&Package> = missing
        .iter()
        .copied()
        .filter(|package| !is_in_package_lists(package))
        .collect();
    if !unknown.is_empty() {
        bail!(
            "the package lists of this system lack {}: {LLVM_ELSEWHERE}",
            names(&unknown)
        );
    }
    let mut install = vec![
        "env",
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "install",
        "-y",
        "--no-install-recommends",
    ];
    install.extend(missing.iter().map(|package| package.name));
    run_shown(&mut as_root(root, &install))?;

    let missing = missing_from_dpkg()?;
    if !missing.is_empty() {
        bail!("still not installed: {}", names(&missing));
    }
    Ok(())
}

/// Not a system whose packages we know: asks for programs, and leaves the installing to its user.
fn elsewhere() -> Result<()> {
    let lacks = |package: &&Package| {
        package
            .program
            .is_some_and(|program| tools::find(program).is_err())
    };
    let missing: Vec<&Package> = PACKAGES.iter().filter(lacks).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!(
        "setup: this system has no apt-get, so install these programs of its own packages, then run this again:"
    );
    for package in &missing {
        println!(
            "  {:<16} {}",
            package.program.unwrap_or_default(),
            package.why
        );
    }
    println!(
        "setup: and these libraries with their headers, in case they are missing (by their names on Debian):"
    );
    for package in PACKAGES.iter().filter(|package| package.program.is_none()) {
        println!("  {:<20} {}", package.name, package.why);
    }
    bail!("{} programs are missing", missing.len())
}

fn missing_from_dpkg() -> Result<Vec<&'static Package>> {
    // It exits with 1 when it does not know one of the packages, which is an answer like the others.
    let output = command(
        "dpkg-query",
        [
            "--show",
            "--showformat=${binary:Package} ${db:Status-Status}\\n",
        ],
    )
    .args(PACKAGES.iter().map(|package| package.name))
    .output()
    .context("dpkg-query: cannot start")?;
    let installed = installed(&String::from_utf8_lossy(&output.stdout));
    Ok(PACKAGES
        .iter()
        .filter(|package| !installed.contains(package.name))
        .collect())
}

/// The packages that dpkg-query calls installed, without the `:amd64` of those that exist for several machines.
fn installed(listing: &str) -> BTreeSet<String> {
    listing
        .lines()
        .filter_map(|line| line.strip_suffix(" installed"))
        .map(|name| name.split(':').next().unwrap_or(name).to_owned())
        .collect()
}

fn is_in_package_lists(package: &Package) -> bool {
    is_there(&mut command("apt-cache", ["show", package.name]))
}

fn is_root() -> Result<bool> {
    let output = command("id", ["-u"]).output().context("id: cannot start")?;
    Ok(output.stdout.trim_ascii() == b"0")
}

fn as_root(root: bool, args: &[&str]) -> Command {
    if root {
        command(args[0], &args[1..])
    } else {
        command("sudo", args)
    }
}

fn run_shown(command: &mut Command) -> Result<()> {
    println!("setup: {}", shown(command));
    run_command(command)
}

/// Whether a command can be run and ends well.
fn is_there(command: &mut Command) -> bool {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn print_reasons(packages: &[&Package]) {
    for package in packages {
        println!("  {:<20} {}", package.name, package.why);
    }
}

fn names(packages: &[&Package]) -> String {
    packages
        .iter()
        .map(|package| package.name)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_installed_packages_count() {
        let listing =
            "gcc installed\ngdb config-files\nzlib1g-dev:amd64 installed\nlld-22 not-installed\n";
        let expected: BTreeSet<String> = ["gcc", "zlib1g-dev"].map(str::to_owned).into();
        assert_eq!(installed(listing), expected);
    }

    #[test]
    fn root_needs_no_sudo() {
        assert_eq!(
            shown(&as_root(true, &["apt-get", "update"])),
            "apt-get update"
        );
        assert_eq!(
            shown(&as_root(false, &["apt-get", "update"])),
            "sudo apt-get update"
        );
    }
}
