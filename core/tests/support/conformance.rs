//! The conformance list (`tests/conformance`): read, and run through core. Other languages have runners of their own; this
//! one also writes what has to come out.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use anyhow::{Context, Result, bail, ensure};
use etalase::decision::{Ranking, class_named};
use etalase::photo::{
    Orientation, Photo, PixelFormat, Pixels, Region, YuvColours, YuvMatrix, YuvPlane, YuvRange,
};
use etalase::{Bundle, Classifier, EngineOptions, Error, ErrorKind, Verdict};

/// One case: what goes in, and the lines that have to come out.
#[derive(Debug, Clone, Default)]
pub struct Case {
    /// Its name.
    pub name: String,
    input: Vec<Vec<String>>,
    /// What comes out, line by line.
    pub expected: Vec<String>,
}

/// The words that begin a line of what comes out.
const RESULTS: [&str; 9] = [
    "ranked",
    "familiarity",
    "verdict",
    "size",
    "advice",
    "odd",
    "text",
    "opened",
    "error",
];

/// The folder of the list.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance")
}

/// Reads a list.
///
/// # Errors
/// Where a line is outside of a case.
pub fn parse(text: &str) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    let mut open: Option<Case> = None;
    for line in text.lines().map(str::trim) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let Some(first) = words.first().filter(|word| !word.starts_with('#')) else {
            continue;
        };
        match (first.as_str(), &mut open) {
            ("case", None) => {
                let name = words.get(1).context("a case without a name")?.clone();
                open = Some(Case {
                    name,
                    ..Case::default()
                });
            }
            ("end", Some(_)) => cases.extend(open.take()),
            (word, Some(case)) if RESULTS.contains(&word) => case.expected.push(line.to_owned()),
            (_, Some(case)) => case.input.push(words),
            (_, None) => bail!("{line}: outside of a case"),
        }
    }
    ensure!(open.is_none(), "the last case has no end");
    Ok(cases)
}

/// The list with the lines that come out in place of those that were there; comments and order stay.
///
/// # Errors
/// As [`parse`], and where a case's input cannot be understood.
pub fn rewritten(text: &str, run: impl Fn(&Case) -> Result<Vec<String>>) -> Result<String> {
    let cases = parse(text)?;
    let mut next = cases.iter();
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines() {
        let first = line.split_whitespace().next().unwrap_or_default();
        if first == "end" {
            let case = next.next().context("more ends than cases")?;
            lines.extend(run(case).with_context(|| case.name.clone())?);
        }
        if !RESULTS.contains(&first) {
            lines.push(line.to_owned());
        }
    }
    Ok(lines.join("\n") + "\n")
}

/// Runs cases through core.
pub struct Runner {
    classifier: Classifier,
    bundle: Vec<u8>,
}

impl Runner {
    /// On the default bundle.
    ///
    /// # Errors
    /// Where it cannot be opened.
    pub fn new() -> Result<Runner> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/default.etalase");
        let bundle = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let opened = Bundle::from_bytes(bundle.clone())?;
        Ok(Runner {
            classifier: Classifier::new(opened, &EngineOptions::default())?,
            bundle,
        })
    }

    /// What comes out of a case.
    ///
    /// # Errors
    /// Where its lines cannot be understood or a file is missing: not where the library gives an error.
    pub fn run(&self, case: &Case) -> Result<Vec<String>> {
        let asked = Asked::read(case)?;
        let told = match asked.kind {
            Kind::Classify => self.classify(&asked),
            Kind::Listing => self.listing(&asked),
            Kind::OpenFile(ref path) => Bundle::open(path)
                .and_then(open)
                .map(|()| vec!["opened".into()]),
            Kind::OpenMemory(ref file, length) => {
                let bytes = match file.file_name().is_some_and(|name| name == "default") {
                    true => self.bundle.clone(),
                    false => std::fs::read(file)?,
                };
                let bytes = bytes.get(..length).context("longer than the file")?;
                Bundle::from_bytes(bytes.to_vec())
                    .and_then(open)
                    .map(|()| vec!["opened".into()])
            }
            Kind::Name(class, ref language) => {
                let names = self.classifier.bundle().names_in(language);
                names.and_then(|names| match names.get(class) {
                    Some(name) => Ok(vec![format!("text {name}")]),
                    None => Err(Error::new(ErrorKind::InvalidArgument, "no such class")),
                })
            }
        };
        Ok(told.unwrap_or_else(|error| vec![format!("error {}", error.kind())]))
    }

    fn classes(&self) -> &[String] {
        &self.classifier.bundle().manifest().classes
    }

    fn class(&self, class: Option<usize>) -> &str {
        let name = class.and_then(|class| self.classes().get(class));
        name.map_or("-", String::as_str)
    }

    fn classify(&self, asked: &Asked) -> etalase::Result<Vec<String>> {
        let (ranking, declared) = asked.options(self.classes())?;
        let photo = asked.photo()?;
        let cancel = AtomicBool::new(asked.cancelled);
        let answer = self.classifier.classify_until(&photo, &cancel)?;
        let verdict = declared.map(|declared| self.classifier.verdict(&answer, declared));
        let mut lines = self.ranked(&ranking, &answer.scores);
        lines.extend(answer.familiarity.map(familiarity));
        lines.extend(verdict.transpose()?.map(|verdict| self.verdict(verdict)));
        let (width, height) = (answer.measures.width_px, answer.measures.height_px);
        lines.push(format!("size {width} {height}"));
        if !answer.advice.is_empty() {
            let names = answer.advice.iter().map(|advice| advice.name());
            lines.push(format!("advice {}", names.collect::<Vec<_>>().join(" ")));
        }
        Ok(lines)
    }

    fn listing(&self, asked: &Asked) -> etalase::Result<Vec<String>> {
        let (ranking, declared) = asked.options(self.classes())?;
        let answers = asked
            .photos
            .iter()
            .map(|photo| self.classifier.classify(photo));
        let answers = answers.collect::<etalase::Result<Vec<_>>>()?;
        let listing = self.classifier.listing(&answers, declared)?;
        let mut lines = self.ranked(&ranking, &listing.fused.scores);
        lines.extend(listing.fused.familiarity.map(familiarity));
        lines.extend(listing.verdict.map(|verdict| self.verdict(verdict)));
        let odd = listing.fused.odd.iter();
        lines.extend(odd.map(|odd| format!("odd {} {}", odd.photo, self.class(odd.shows))));
        Ok(lines)
    }

    fn ranked(&self, ranking: &Ranking, scores: &[f32]) -> Vec<String> {
        let ranked = ranking.of(scores).into_iter();
        ranked
            .map(|(class, score)| {
                format!("ranked {} {:08x}", self.class(Some(class)), score.to_bits())
            })
            .collect()
    }

    fn verdict(&self, verdict: Verdict) -> String {
        let (kind, reason) = (verdict.kind.as_str(), verdict.reason.as_str());
        format!("verdict {kind} {reason} {}", self.class(verdict.suggested))
    }
}

fn familiarity(familiarity: f32) -> String {
    format!("familiarity {:08x}", familiarity.to_bits())
}

fn open(bundle: Bundle) -> etalase::Result<()> {
    Classifier::new(bundle, &EngineOptions::default()).map(|_| ())
}

enum Kind {
    Classify,
    Listing,
    OpenFile(PathBuf),
    OpenMemory(PathBuf, usize),
    Name(usize, String),
}

struct Plane {
    data: Vec<u8>,
    row_stride: usize,
    pixel_stride: usize,
}

/// A case's input, understood.
struct Asked {
    kind: Kind,
    photos: Vec<Vec<u8>>,
    pixels: Option<(String, u32, u32)>,
    planes: Vec<Plane>,
    colours: YuvColours,
    orientation: Option<u8>,
    region: Option<Region>,
    top_k: Option<usize>,
    minimum_score: f32,
    allow: Option<Vec<String>>,
    deny: Vec<String>,
    declared: Option<String>,
    cancelled: bool,
}

impl Asked {
    fn read(case: &Case) -> Result<Asked> {
        let mut asked = Asked {
            kind: Kind::Classify,
            photos: Vec::new(),
            pixels: None,
            planes: Vec::new(),
            colours: YuvColours::JPEG,
            orientation: None,
            region: None,
            top_k: None,
            minimum_score: 0.0,
            allow: None,
            deny: Vec::new(),
            declared: None,
            cancelled: false,
        };
        for words in &case.input {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            asked.read_line(&words).with_context(|| words.join(" "))?;
        }
        Ok(asked)
    }

    fn read_line(&mut self, words: &[&str]) -> Result<()> {
        let path = |name: &str| folder().join(name);
        match *words {
            ["photo", file] => self.photos.push(read(&path(file))?),
            ["pixels", format, width, height] => {
                self.pixels = Some((format.to_owned(), width.parse()?, height.parse()?));
            }
            ["plane", file, offset, length, row_stride, pixel_stride] => {
                let bytes = read(&path(file))?;
                let offset: usize = offset.parse()?;
                let data = bytes.get(offset..offset + length.parse::<usize>()?);
                self.planes.push(Plane {
                    data: data.context("beyond the file")?.to_vec(),
                    row_stride: row_stride.parse()?,
                    pixel_stride: pixel_stride.parse()?,
                });
            }
            ["colours", matrix, range] => {
                self.colours = YuvColours {
                    matrix: match matrix {
                        "bt601" => YuvMatrix::Bt601,
                        "bt709" => YuvMatrix::Bt709,
                        _ => bail!("unknown matrix"),
                    },
                    range: match range {
                        "full" => YuvRange::Full,
                        "video" => YuvRange::Video,
                        _ => bail!("unknown range"),
                    },
                };
            }
            ["orientation", number] => self.orientation = Some(number.parse()?),
            ["region", x, y, width, height] => {
                self.region = Some(Region {
                    x: x.parse()?,
                    y: y.parse()?,
                    width: width.parse()?,
                    height: height.parse()?,
                });
            }
            ["top_k", k] => self.top_k = Some(k.parse()?),
            ["minimum_score", score] => self.minimum_score = score.parse()?,
            ["allow", ref labels @ ..] => {
                let labels = labels.iter().map(|&label| label.to_owned());
                self.allow.get_or_insert_default().extend(labels);
            }
            ["deny", label] => self.deny.push(label.to_owned()),
            ["declared", label] => self.declared = Some(label.to_owned()),
            ["cancelled"] => self.cancelled = true,
            ["listing"] => self.kind = Kind::Listing,
            ["open_file", file] => self.kind = Kind::OpenFile(path(file)),
            ["open_memory", file, length] => {
                self.kind = Kind::OpenMemory(path(file), length.parse()?);
            }
            ["name", class, language] => {
                self.kind = Kind::Name(class.parse()?, language.to_owned());
            }
            _ => bail!("not understood"),
        }
        Ok(())
    }

    fn options(&self, classes: &[String]) -> etalase::Result<(Ranking, Option<usize>)> {
        let named = |labels: &[String]| -> etalase::Result<Vec<usize>> {
            let classes = labels.iter().map(|label| class_named(label, classes));
            classes.collect()
        };
        let mut ranking = Ranking::default().minimum_score(self.minimum_score)?;
        if let Some(k) = self.top_k {
            ranking = ranking.top(k);
        }
        if let Some(allow) = &self.allow {
            ranking = ranking.allow(named(allow)?);
        }
        ranking = ranking.deny(named(&self.deny)?);
        let declared = self.declared.as_ref();
        let declared = declared.map(|label| class_named(label, classes));
        Ok((ranking, declared.transpose()?))
    }

    fn photo(&self) -> etalase::Result<Photo<'_>> {
        let mut photo = match &self.pixels {
            Some((format, width, height)) => self.pixels(format, *width, *height)?.into(),
            None => Photo::encoded(self.photos.first().map_or(&[], Vec::as_slice)),
        };
        if let Some(number) = self.orientation {
            let orientation = Orientation::from_exif(number)
                .ok_or_else(|| Error::new(ErrorKind::InvalidArgument, "no such orientation"))?;
            photo = photo.turned(orientation);
        }
        Ok(match self.region {
            Some(region) => photo.region(region),
            None => photo,
        })
    }

    fn pixels(&self, format: &str, width: u32, height: u32) -> etalase::Result<Pixels<'_>> {
        let plane = |at: usize, samples: u32| {
            let plane = self.planes.get(at);
            let (row_stride, pixel_stride) =
                plane.map_or((0, 0), |p| (p.row_stride, p.pixel_stride.max(1)));
            let without_gaps = samples as usize * pixel_stride;
            YuvPlane {
                data: plane.map_or(&[], |plane| plane.data.as_slice()),
                row_stride: if row_stride == 0 {
                    without_gaps
                } else {
                    row_stride
                },
                pixel_stride,
            }
        };
        let first = plane(0, width);
        let packed = |format: PixelFormat| {
            let given = self.planes.first().map_or(0, |plane| plane.row_stride);
            let without_gaps = width as usize * format.bytes();
            let row_stride = if given == 0 { without_gaps } else { given };
            Pixels::packed(format, width, height, row_stride, first.data)
        };
        let colours = self.colours;
        match format {
            "rgb" => packed(PixelFormat::Rgb),
            "bgr" => packed(PixelFormat::Bgr),
            "rgba" => packed(PixelFormat::Rgba),
            "bgra" => packed(PixelFormat::Bgra),
            "rgba_premultiplied" => packed(PixelFormat::RgbaPremultiplied),
            "bgra_premultiplied" => packed(PixelFormat::BgraPremultiplied),
            "grey" => packed(PixelFormat::Grey),
            "nv12" => Pixels::nv12(width, height, first.row_stride, first.data, colours),
            "nv21" => Pixels::nv21(width, height, first.row_stride, first.data, colours),
            "i420" => Pixels::i420(width, height, first.data, colours),
            "yuv420" => {
                let (u, v) = (plane(1, width / 2), plane(2, width / 2));
                Pixels::yuv420(width, height, first, u, v, colours)
            }
            other => Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("no format {other}"),
            )),
        }
    }
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("{}: cannot read", path.display()))
}
