//! What a static library for Apple's systems is made of: its objects' platforms and oldest systems, and its symbols.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, bail};
use object::macho::{LC_VERSION_MIN_IPHONEOS, PLATFORM_IOS, PLATFORM_IOSSIMULATOR};
use object::read::archive::ArchiveFile;
use object::read::macho::{LoadCommandVariant, MachOFile64};
use object::{Architecture, Endianness, Object as _, ObjectSymbol as _, SymbolScope};

/// A system that objects are made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Platform {
    pub architecture: Architecture,
    pub simulator: bool,
}

/// An object of a static library.
pub struct Object {
    pub name: String,
    pub platform: Platform,
    /// The oldest system that it runs on, `(15, 0)`.
    pub oldest: (u32, u32),
    /// What other libraries of a program see.
    pub public: Vec<String>,
    pub defined: BTreeSet<String>,
    pub undefined: BTreeSet<String>,
}

/// The objects of a library for one architecture.
pub fn objects(library: &Path) -> Result<Vec<Object>> {
    let bytes =
        std::fs::read(library).with_context(|| format!("{}: cannot read", library.display()))?;
    let archive = ArchiveFile::parse(&*bytes).with_context(|| library.display().to_string())?;
    let objects = archive.members().map(|member| {
        let member = member?;
        let name = String::from_utf8_lossy(member.name()).into_owned();
        object(&name, member.data(&*bytes)?)
            .with_context(|| format!("{}: {name}", library.display()))
    });
    objects.collect()
}

fn object(name: &str, bytes: &[u8]) -> Result<Object> {
    let file = MachOFile64::<Endianness>::parse(bytes).context("not a Mach-O object")?;
    let (platform, oldest) = made_for(&file)?;
    let mut object = Object {
        name: name.into(),
        platform,
        oldest,
        public: Vec::new(),
        defined: BTreeSet::new(),
        undefined: BTreeSet::new(),
    };
    for symbol in file.symbols() {
        let name = symbol.name()?.to_string();
        if symbol.is_undefined() {
            object.undefined.insert(name);
            continue;
        }
        if symbol.scope() == SymbolScope::Dynamic {
            object.public.push(name.clone());
        }
        object.defined.insert(name);
    }
    Ok(object)
}

fn made_for(file: &MachOFile64<'_, Endianness>) -> Result<(Platform, (u32, u32))> {
    let architecture = file.architecture();
    let endian = file.endian();
    let mut commands = file.macho_load_commands()?;
    while let Some(command) = commands.next()? {
        let (simulator, version) = match command.variant()? {
            LoadCommandVariant::BuildVersion(build) => match build.platform.get(endian) {
                PLATFORM_IOS => (false, build.minos.get(endian)),
                PLATFORM_IOSSIMULATOR => (true, build.minos.get(endian)),
                other => bail!("made for platform {other} of Apple's, which is not iOS"),
            },
            // Before iOS 12, as rustup's standard library says it; what tells a simulator there is the processor.
            LoadCommandVariant::VersionMin(version) if command.cmd() == LC_VERSION_MIN_IPHONEOS => {
                (
                    architecture == Architecture::X86_64,
                    version.version.get(endian),
                )
            }
            _ => continue,
        };
        let platform = Platform {
            architecture,
            simulator,
        };
        return Ok((platform, (version >> 16, version >> 8 & 0xff)));
    }
    bail!("does not say which system it is made for")
}

/// What the objects leave to the system.
pub fn missing(objects: &[Object]) -> BTreeSet<&str> {
    let defined: BTreeSet<&str> = names(objects, |object| &object.defined).collect();
    names(objects, |object| &object.undefined)
        .filter(|name| !defined.contains(name))
        .collect()
}

fn names<'a>(
    objects: &'a [Object],
    which: impl Fn(&'a Object) -> &'a BTreeSet<String>,
) -> impl Iterator<Item = &'a str> {
    objects.iter().flat_map(which).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::macho::{
        CPU_TYPE_ARM64, CPU_TYPE_X86_64, LC_BUILD_VERSION, MH_MAGIC_64, MH_OBJECT,
    };

    /// An object of one load command, nothing else.
    fn with_command(processor: u32, command: &[u32]) -> Result<Object> {
        let bytes = 4 * command.len() as u32;
        let header = [MH_MAGIC_64, processor, 0, MH_OBJECT, 1, bytes, 0, 0];
        let words = header.iter().chain(command);
        let file: Vec<u8> = words.flat_map(|word| word.to_le_bytes()).collect();
        object("a.o", &file)
    }

    #[test]
    fn an_object_says_what_it_is_made_for() {
        let build = |platform| [LC_BUILD_VERSION, 24, platform, 0x000f_0200, 0, 0];
        let phone = with_command(CPU_TYPE_ARM64, &build(PLATFORM_IOS)).unwrap();
        let simulator = with_command(CPU_TYPE_ARM64, &build(PLATFORM_IOSSIMULATOR)).unwrap();
        assert_eq!(phone.oldest, (15, 2));
        assert!(!phone.platform.simulator && simulator.platform.simulator);
        assert_eq!(phone.platform.architecture, Architecture::Aarch64);

        let old = [LC_VERSION_MIN_IPHONEOS, 16, 0x000a_0000, 0];
        let phone = with_command(CPU_TYPE_ARM64, &old).unwrap();
        let simulator = with_command(CPU_TYPE_X86_64, &old).unwrap();
        assert_eq!(phone.oldest, (10, 0));
        assert!(!phone.platform.simulator && simulator.platform.simulator);

        let mac = with_command(CPU_TYPE_ARM64, &build(1)).err().unwrap();
        assert!(mac.to_string().contains("platform 1"), "{mac}");
        assert!(with_command(CPU_TYPE_ARM64, &[0x99, 8]).is_err());
        assert!(object("a.o", b"\x7fELF").is_err());
    }

    #[test]
    fn what_another_object_defines_is_not_missing() {
        let object = |defined: &[&str], undefined: &[&str]| Object {
            name: "a.o".into(),
            platform: Platform {
                architecture: Architecture::Aarch64,
                simulator: false,
            },
            oldest: (15, 0),
            public: Vec::new(),
            defined: defined.iter().map(ToString::to_string).collect(),
            undefined: undefined.iter().map(ToString::to_string).collect(),
        };
        let objects = [
            object(&["_a"], &["_b", "_malloc"]),
            object(&["_b"], &["_a"]),
        ];
        assert_eq!(missing(&objects), ["_malloc"].into());
    }
}
