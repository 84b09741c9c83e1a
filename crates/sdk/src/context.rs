// SPDX-License-Identifier: Apache-2.0
//! All that a hook sees of the world.

use crate::command::{self, Command, CommandError, Output};
use crate::failure::one_line;
use crate::host::Host;
use crate::launch_flags::{self, LaunchFlagsError};
use crate::payload::{self, Device, Domain, Json, PayloadError, Xml};
use crate::property::{self, PropertyError};
use crate::store::Store;
use crate::{Failure, Mapping};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;

const DOMXML: &str = "_hook_domxml";
const JSON: &str = "_hook_json";

type Answers = Box<dyn FnMut(&Command) -> Result<Output, CommandError>>;

/// All that a hook sees of the world: environment, payload, host, commands, standard error.
///
/// Nothing is read before it is asked for. [`run`](crate::run) makes one for the process;
/// [`Context::for_test`] makes one without a process.
pub struct Context {
    environment: Environment,
    xml: Option<Store>,
    json: Option<Store>,
    host: Host,
    answers: Option<Answers>,
    log: Log,
}

enum Environment {
    Process,
    Given(HashMap<OsString, OsString>),
}

enum Log {
    Stderr,
    Kept(RefCell<Vec<String>>),
}

/// Runs a hook: gives it its context, tells its failure on standard error, makes its exit code.
///
/// # Examples
/// ```no_run
/// use std::process::ExitCode;
///
/// fn main() -> ExitCode {
///     virt_hooks_sdk::run(|hook| {
///         let Some(model) = hook.property("watchdog")? else { return Ok(()) };
///         let mut domain = hook.domain()?;
///         let watchdog = virt_hooks_sdk::NewElement::new("watchdog").attribute("model", model);
///         domain.append_device(watchdog)?;
///         Ok(domain.save()?)
///     })
/// }
/// ```
pub fn run(hook: impl FnOnce(&mut Context) -> Result<(), Failure>) -> ExitCode {
    let mut context = Context::from_process();
    match hook(&mut context) {
        Ok(()) => ExitCode::from(Failure::EXIT_OK),
        Err(failure) => {
            context.log(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}

impl Context {
    /// The context of this process.
    pub fn from_process() -> Self {
        Self {
            environment: Environment::Process,
            xml: None,
            json: None,
            host: Host::new("/"),
            answers: None,
            log: Log::Stderr,
        }
    }

    /// A context for a unit test: an empty environment, no payload, an empty host, no commands.
    ///
    /// # Examples
    /// ```
    /// use virt_hooks_sdk::{Context, Failure};
    /// fn rename(hook: &mut Context) -> Result<(), Failure> {
    ///     let name = hook.required("name")?;
    ///     let mut domain = hook.domain()?;
    ///     let element = domain.ensure("name")?;
    ///     domain.set_text(element, &name)?;
    ///     Ok(domain.save()?)
    /// }
    /// let mut hook = Context::for_test().with_env("name", "new").with_xml("<domain><name/></domain>");
    /// rename(&mut hook)?;
    /// assert_eq!(hook.xml_text(), "<domain><name>new</name></domain>");
    /// # Ok::<(), Failure>(())
    /// ```
    pub fn for_test() -> Self {
        Self {
            environment: Environment::Given(HashMap::new()),
            xml: None,
            json: None,
            // Exists nowhere, so that a test cannot depend on the machine it runs on.
            host: Host::new("/nonexistent/host-of-a-test"),
            answers: Some(Box::new(|command| {
                let source = std::io::Error::new(std::io::ErrorKind::NotFound, "no commands in this test");
                Err(CommandError::Start { program: command.to_string(), source })
            })),
            log: Log::Kept(RefCell::default()),
        }
    }

    /// For a test: with this variable, a custom property for instance.
    #[must_use]
    pub fn with_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        if let Environment::Process = self.environment {
            self.environment = Environment::Given(std::env::vars_os().collect());
        }
        if let Environment::Given(variables) = &mut self.environment {
            variables.insert(name.into(), value.into());
        }
        self
    }

    /// For a test: with this XML payload.
    #[must_use]
    pub fn with_xml(mut self, xml: impl Into<Vec<u8>>) -> Self {
        self.xml = Some(Store::Memory(Rc::new(RefCell::new(xml.into()))));
        self
    }

    /// For a test: with this JSON payload.
    #[must_use]
    pub fn with_json(mut self, json: impl Into<Vec<u8>>) -> Self {
        self.json = Some(Store::Memory(Rc::new(RefCell::new(json.into()))));
        self
    }

    /// For a test: with this directory in the place of the host's `/`.
    #[must_use]
    pub fn with_host(mut self, root: impl Into<PathBuf>) -> Self {
        self.host = Host::new(root);
        self
    }

    /// For a test: with commands answered by this function.
    #[must_use]
    pub fn with_commands(
        mut self,
        answer: impl FnMut(&Command) -> Result<Output, CommandError> + 'static,
    ) -> Self {
        self.answers = Some(Box::new(answer));
        self
    }

    /// The XML payload as it stands now; empty if there is none.
    pub fn xml_text(&self) -> String {
        self.text_of(self.xml_store())
    }

    /// The JSON payload as it stands now; empty if there is none.
    pub fn json_text(&self) -> String {
        self.text_of(self.json_store())
    }

    fn text_of(&self, store: Result<Store, PayloadError>) -> String {
        let bytes = store.and_then(|store| payload::read(&store)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// For a test: the lines logged so far.
    pub fn logged(&self) -> Vec<String> {
        match &self.log {
            Log::Stderr => Vec::new(),
            Log::Kept(lines) => lines.borrow().clone(),
        }
    }

    /// Writes one line to standard error, which the engine keeps.
    pub fn log(&self, message: impl fmt::Display) {
        let mut line = one_line(&message.to_string());
        match &self.log {
            Log::Kept(lines) => lines.borrow_mut().push(line),
            Log::Stderr => {
                line.push('\n');
                // In one piece, and nobody to tell if it fails.
                let _ = std::io::stderr().write_all(line.as_bytes());
            }
        }
    }

    /// A variable of the environment, whatever its bytes.
    pub fn env(&self, name: impl AsRef<OsStr>) -> Option<OsString> {
        match &self.environment {
            Environment::Process => std::env::var_os(name),
            Environment::Given(variables) => variables.get(name.as_ref()).cloned(),
        }
    }

    /// A custom property of the VM or device, none if it is not set. Empty is set.
    ///
    /// # Errors
    /// [`PropertyError::NotUtf8`].
    pub fn property(&self, name: &str) -> Result<Option<String>, PropertyError> {
        let value = self.env(name).map(OsString::into_string).transpose();
        value.map_err(|_| PropertyError::NotUtf8 { name: name.to_owned() })
    }

    /// A custom property that must be set.
    ///
    /// # Errors
    /// [`PropertyError::Missing`] or [`PropertyError::NotUtf8`].
    pub fn required(&self, name: &str) -> Result<String, PropertyError> {
        self.property(name)?.ok_or_else(|| PropertyError::Missing { name: name.to_owned() })
    }

    /// Whether a custom property is set and means yes; see [`is_true`](crate::is_true).
    ///
    /// # Errors
    /// [`PropertyError::NotUtf8`].
    pub fn flag(&self, name: &str) -> Result<bool, PropertyError> {
        Ok(self.property(name)?.is_some_and(|value| property::is_true(&value)))
    }

    /// The items of a custom property, split at `separator`, white space around them and empty
    /// ones dropped; none if it is not set.
    ///
    /// # Errors
    /// [`PropertyError::NotUtf8`].
    ///
    /// # Examples
    /// ```
    /// let hook = virt_hooks_sdk::Context::for_test().with_env("ipv4_addrs", "10.0.0.1/8, 10.0.0.2/8,");
    /// assert_eq!(hook.list("ipv4_addrs", ',')?, ["10.0.0.1/8", "10.0.0.2/8"]);
    /// # Ok::<(), virt_hooks_sdk::PropertyError>(())
    /// ```
    pub fn list(&self, name: &str, separator: char) -> Result<Vec<String>, PropertyError> {
        let value = self.property(name)?.unwrap_or_default();
        let items = value.split(separator).map(str::trim).filter(|item| !item.is_empty());
        Ok(items.map(str::to_owned).collect())
    }

    /// A custom property that is a mapping; see [`Mapping`].
    ///
    /// # Errors
    /// [`PropertyError::NotMapping`] or [`PropertyError::NotUtf8`].
    pub fn mapping(&self, name: &str) -> Result<Option<Mapping>, PropertyError> {
        let value = self.property(name)?.map(|value| Mapping::parse(&value)).transpose();
        value.map_err(|source| PropertyError::NotMapping { name: name.to_owned(), source })
    }

    /// A custom property that is JSON.
    ///
    /// # Errors
    /// [`PropertyError::NotJson`] or [`PropertyError::NotUtf8`].
    pub fn json_property(&self, name: &str) -> Result<Option<Value>, PropertyError> {
        let value = self.property(name)?.map(|value| serde_json::from_str(&value)).transpose();
        value.map_err(|source| PropertyError::NotJson { name: name.to_owned(), source })
    }

    /// The id of the VM the event is about.
    ///
    /// # Errors
    /// [`PropertyError`] if there is none, or it could not be part of a path.
    pub fn vm_id(&self) -> Result<String, PropertyError> {
        let id = self.required("vmId")?;
        if id.is_empty() || id.starts_with('.') || id.contains(['/', '\0']) {
            return Err(PropertyError::NotVmId { name: "vmId", value: id });
        }
        Ok(id)
    }

    /// The hook point (`before_vm_start`): as virt-hooks says, or under VDSM by the directory
    /// the hook is installed in.
    pub fn point(&self) -> Option<String> {
        let told = self.env("_hook_point").and_then(|point| point.into_string().ok());
        told.or_else(|| match self.environment {
            Environment::Process => {
                let program = PathBuf::from(std::env::args_os().next()?);
                Some(program.parent()?.file_name()?.to_str()?.to_owned())
            }
            Environment::Given(_) => None,
        })
    }

    /// The id of the event, the same for all hooks of a chain. Virt-hooks only.
    pub fn event_id(&self) -> Option<String> {
        self.env("_hook_event_id").and_then(|id| id.into_string().ok())
    }

    /// Why the event happened. Virt-hooks only.
    pub fn reason(&self) -> Option<String> {
        self.env("_hook_reason").and_then(|reason| reason.into_string().ok())
    }

    /// Which attempt this is, from 1. Virt-hooks only.
    pub fn attempt(&self) -> Option<u32> {
        self.env("_hook_attempt").and_then(|attempt| attempt.to_str()?.parse().ok())
    }

    fn xml_store(&self) -> Result<Store, PayloadError> {
        self.store(self.xml.as_ref(), DOMXML)
    }

    fn json_store(&self) -> Result<Store, PayloadError> {
        self.store(self.json.as_ref(), JSON)
    }

    fn store(&self, given: Option<&Store>, variable: &'static str) -> Result<Store, PayloadError> {
        match (given, self.env(variable)) {
            (Some(store), _) => Ok(store.clone()),
            (None, Some(path)) => Ok(Store::File(path.into())),
            (None, None) => Err(PayloadError::Missing { variable }),
        }
    }

    /// Reads the domain XML of the VM.
    ///
    /// # Errors
    /// [`PayloadError`] if there is none or it is not XML.
    pub fn domain(&self) -> Result<Domain, PayloadError> {
        Xml::open(&self.xml_store()?)
    }

    /// Reads the XML of the device; its root is the device.
    ///
    /// # Errors
    /// [`PayloadError`] if there is none or it is not XML.
    pub fn device(&self) -> Result<Device, PayloadError> {
        self.domain()
    }

    /// Reads the JSON payload.
    ///
    /// # Errors
    /// [`PayloadError`] if there is none or it is not JSON.
    pub fn json(&self) -> Result<Json, PayloadError> {
        Json::open(&self.json_store()?)
    }

    /// Reads the JSON payload as bytes, for hooks that take a big one apart with types of their own.
    ///
    /// # Errors
    /// [`PayloadError`] if there is none.
    pub fn json_bytes(&self) -> Result<Vec<u8>, PayloadError> {
        payload::read(&self.json_store()?)
    }

    /// Writes the JSON payload as bytes.
    ///
    /// # Errors
    /// [`PayloadError`]; the payload then has its old content.
    pub fn save_json_bytes(&self, bytes: &[u8]) -> Result<(), PayloadError> {
        payload::write(&self.json_store()?, bytes)
    }

    fn launch_flags_path(&self) -> Result<PathBuf, PropertyError> {
        if let Some(path) = self.env("_hook_launch_flags") {
            return Ok(path.into());
        }
        Ok(self.host.path(Path::new("/run/vdsm").join(self.vm_id()?).join("launchflags")))
    }

    /// The flags with which libvirt will start the domain (`virDomainCreateFlags`).
    ///
    /// # Errors
    /// [`LaunchFlagsError`]; a file that is missing means 0.
    pub fn launch_flags(&self) -> Result<u32, LaunchFlagsError> {
        launch_flags::read(&self.launch_flags_path()?)
    }

    /// Adds flags to those with which libvirt will start the domain; returns all of them.
    ///
    /// # Errors
    /// [`LaunchFlagsError`].
    pub fn add_launch_flags(&self, bits: u32) -> Result<u32, LaunchFlagsError> {
        let path = self.launch_flags_path()?;
        let old = launch_flags::read(&path)?;
        let new = old | bits;
        if new != old {
            launch_flags::write(&path, new)?;
        }
        Ok(new)
    }

    /// Files of the host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Runs a command and waits for it. Its exit status is for the caller to judge;
    /// [`Output::success`] does.
    ///
    /// # Errors
    /// [`CommandError`] if it cannot be started or takes too long.
    pub fn execute(&mut self, command: &Command) -> Result<Output, CommandError> {
        match &mut self.answers {
            Some(answer) => answer(command),
            None => command::execute(command),
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("host", &self.host).finish_non_exhaustive()
    }
}
