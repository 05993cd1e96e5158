//! The options of `farcall-executor` that say how it is watched.

use std::path::PathBuf;

use farcall_executor::{Address, Audit, Error, LogFormat, Watch};

const METRICS: &str = "--metrics";
const AUDIT: &str = "--audit";
const LOG_FORMAT: &str = "--log-format";

/// What they ask for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Watching {
    metrics: Option<Address>,
    audit: Option<PathBuf>,
    pub(crate) format: LogFormat,
}

impl Watching {
    /// Takes its options away.
    pub(crate) fn take(args: &mut Vec<&str>) -> Result<Self, String> {
        let mut watching = Self::default();
        let mut rest = Vec::new();
        let mut given = args.iter().copied();
        while let Some(arg) = given.next() {
            let (option, value) = match arg.split_once('=') {
                Some((option, value)) => (option, Some(value)),
                None => (arg, None),
            };
            if ![METRICS, AUDIT, LOG_FORMAT].contains(&option) {
                rest.push(arg);
                continue;
            }
            let value = value.or_else(|| given.next());
            let value = value.ok_or_else(|| format!("{option}: no value"))?;
            let wrong = |why: &dyn std::fmt::Display| format!("{option}: {value:?}: {why}");
            match option {
                METRICS => {
                    let address = value.parse();
                    // Its error names what was given.
                    let address = address.map_err(|error: Error| format!("{option}: {error}"))?;
                    watching.metrics = Some(address);
                }
                AUDIT => watching.audit = Some(value.into()),
                _ => watching.format = value.parse().map_err(|why: &str| wrong(&why))?,
            }
        }
        *args = rest;
        Ok(watching)
    }

    /// Opens what has to be there before anything is served.
    pub(crate) fn open(self) -> Result<Watch, String> {
        let audit = match self.audit {
            None => Audit::default(),
            Some(path) => Audit::to_file(&path)
                .map_err(|error| format!("{AUDIT} {}: {error}", path.display()))?,
        };
        Ok(Watch {
            metrics: self.metrics,
            audit,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_it_is_watched_is_understood() {
        let mut args = vec![
            "--stdio",
            "--metrics=tcp:127.0.0.1:9464",
            "-v",
            "--audit",
            "/a",
            "--log-format",
            "json",
        ];
        let watching = Watching::take(&mut args).unwrap();
        assert_eq!(args, ["--stdio", "-v"]);
        assert_eq!(watching.metrics, "tcp:127.0.0.1:9464".parse().ok());
        assert_eq!(watching.audit, Some("/a".into()));
        assert_eq!(watching.format, LogFormat::Json);
        for (args, wrong) in [
            (&["--metrics"][..], "--metrics: no value"),
            (
                &["--metrics", "http:"],
                "--metrics: \"http:\": not an address",
            ),
            (&["--log-format=xml"], "text or json"),
        ] {
            let error = Watching::take(&mut args.to_vec()).unwrap_err();
            assert!(error.contains(wrong), "{error}");
        }
    }
}
