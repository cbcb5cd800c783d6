//! `natter admin`: accounts, from the machine that holds the store.

use std::fs::{self, OpenOptions};
use std::io::{self, BufRead, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Subcommand;

use super::{Failure, print, runtime};
use crate::api::SignUp;
use crate::app::App;
use crate::config::{Config, Sources};
use crate::domain::{User, Words};
use crate::node::{self, assemble};
use crate::service::export::Archive;
use crate::service::operator;
use crate::store::{self, Access};

/// What can be done to accounts. A password is never an argument: those are seen by everybody on
/// the machine, and kept by shells.
#[derive(Debug, Subcommand)]
pub(super) enum Admin {
    /// Make an account; its password is the first line of standard input
    CreateUser {
        /// Its address
        #[arg(long)]
        email: String,
        /// The name that others see
        #[arg(long)]
        username: String,
        /// Let it administer
        #[arg(long)]
        admin: bool,
        /// Read the password from this file instead
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give an account another password, the first line of standard input, and end its sessions
    ResetPassword {
        /// Its name or address
        user: String,
        /// Read the password from this file instead
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Print every account: id, name, address, when it was made, what it is
    ListUsers,
    /// End every token and socket of an account
    RevokeSessions {
        /// Its name or address
        user: String,
    },
    /// Write everything that is kept of an account into a new tar archive
    ExportUser {
        /// Its name or address
        user: String,
        /// The file to make
        file: PathBuf,
    },
    /// Delete an account, and erase everything that tells of its person; a running node does the most of it
    EraseUser {
        /// Its name or address, or its id, also of an account that was deleted before
        user: String,
        /// Keep its messages and files, without a name
        #[arg(long)]
        keep_messages: bool,
    },
    /// Tell clients that the store was set back to an earlier state, after a backup was restored; all nodes have to
    /// be stopped
    Restored,
}

impl Admin {
    /// Does it, whether or not a node is running on the same store.
    pub(super) fn run(self, sources: &Sources) -> Result<(), Failure> {
        let config = Config::load(sources)?;
        if !matches!(self, Self::CreateUser { .. }) {
            check_store_is_there(&config)?;
        }
        if matches!(self, Self::Restored) {
            return restored(&config);
        }
        runtime()?.block_on(async {
            let app = assemble(config, Access::Command).await?;
            let done = self.apply(&app).await;
            app.store.close().await;
            done
        })
    }

    async fn apply(self, app: &App) -> Result<(), Failure> {
        match self {
            Self::CreateUser { email, username, admin, password_file } => {
                let password = read_password(password_file.as_deref())?;
                let account = SignUp { email, username, password };
                let user = operator::create_user(app, account, admin).await?;
                let what = if user.is_admin { ", an administrator" } else { "" };
                print(&format!("made {} ({}){what}\n", user.username.as_str(), user.id));
            }
            Self::ResetPassword { user, password_file } => {
                let password = read_password(password_file.as_deref())?;
                let user = operator::reset_password(app, &user, password).await?;
                print(&format!("{} has the new password\n", user.username.as_str()));
            }
            Self::ListUsers => list(app).await?,
            Self::ExportUser { user, file } => {
                let archive = operator::export_user(app, &user).await?;
                let bytes = write_new(&file, archive).await.map_err(|error| {
                    Failure::told(format!("cannot write {}: {error}", file.display()))
                })?;
                print(&format!("wrote {bytes} bytes to {}\n", file.display()));
            }
            Self::EraseUser { user, keep_messages } => {
                let words = if keep_messages { Words::Kept } else { Words::Erased };
                let id = operator::erase_user(app, &user, words).await?;
                print(&format!(
                    "the account {id} is gone; a running node, or else the next, erases what is left of it\n"
                ));
            }
            Self::Restored => {} // Done without the parts of a node.
            Self::RevokeSessions { user } => {
                let user = operator::revoke_sessions(app, &user).await?;
                print(&format!("{} is logged out everywhere\n", user.username.as_str()));
            }
        }
        Ok(())
    }
}

/// Positions that clients know may stand for other events now: another epoch says so to all of them.
fn restored(config: &Config) -> Result<(), Failure> {
    node::prepare(config)?;
    let epoch = runtime()?.block_on(async {
        let store = store::connect(&config.store, &config.data_dir, Access::Alone).await?;
        let epoch = store.renew_epoch().await;
        store.close().await;
        epoch
    })?;
    print(&format!("the store has the epoch {epoch} now: clients begin anew\n"));
    Ok(())
}

/// Writes an archive to a new file, which only this user may read and which appears whole or not at all; its bytes.
async fn write_new(path: &Path, mut archive: Archive) -> io::Result<u64> {
    if path.symlink_metadata().is_ok() {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is there already"));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".partial-{:08x}", rand::random::<u32>()));
    let partial = PathBuf::from(name);
    let written = async {
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial)?;
        let mut bytes = 0;
        while let Some(piece) = archive.recv().await {
            let piece = piece?;
            file.write_all(&piece)?;
            bytes += piece.len() as u64;
        }
        file.sync_all()?;
        fs::rename(&partial, path)?;
        Ok(bytes)
    };
    let written = written.await;
    if written.is_err() {
        _ = fs::remove_file(&partial);
    }
    written
}

/// A mistyped folder is told, where a new, empty store in it would only puzzle.
fn check_store_is_there(config: &Config) -> Result<(), Failure> {
    match config.store.sqlite_path(&config.data_dir) {
        Some(path) if !path.exists() => {
            Err(Failure::told(format!("data_dir: there is no store {}", path.display())))
        }
        _ => Ok(()),
    }
}

async fn list(app: &App) -> Result<(), Failure> {
    let mut last = None;
    loop {
        let users = operator::list_users(app, last).await?;
        for user in &users {
            print(&line(user));
        }
        match users.last() {
            Some(user) => last = Some(user.id),
            None => return Ok(()),
        }
    }
}

/// One account a line, fields apart by tabs, so that `cut` and `awk` read it.
fn line(user: &User) -> String {
    let standing = match (user.is_disabled, user.is_admin) {
        (true, _) => "disabled",
        (false, true) => "administrator",
        (false, false) => "user",
    };
    let (name, address) = (user.username.as_str(), user.email.as_str());
    format!("{}\t{name}\t{address}\t{}\t{standing}\n", user.id, user.created_at)
}

fn read_password(file: Option<&Path>) -> Result<String, Failure> {
    let text = match file {
        Some(path) => fs::read_to_string(path).map_err(|error| {
            Failure::told(format!("--password-file: cannot read {}: {error}", path.display()))
        })?,
        None if io::stdin().is_terminal() => ask_password().map_err(Failure::other)?,
        None => first_line().map_err(Failure::other)?,
    };
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}

fn first_line() -> io::Result<String> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map(|_bytes| line)
}

/// Asks whoever sits there, and does not show what they type.
fn ask_password() -> io::Result<String> {
    write!(io::stderr(), "Password: ")?;
    let _shown_again = Hidden::begin();
    first_line()
}

/// While it lives, the terminal shows nothing that is typed.
struct Hidden;

impl Hidden {
    fn begin() -> Self {
        stty("-echo");
        Self
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        stty("echo");
        // Nor was the line end shown.
        _ = writeln!(io::stderr());
    }
}

fn stty(setting: &str) {
    // Without `stty` the password is seen by who types it: a pity, and no reason to stop.
    _ = Command::new("stty").arg(setting).stdin(Stdio::inherit()).status();
}
