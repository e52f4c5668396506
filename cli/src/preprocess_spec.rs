//! `--preprocess`: how photos become a foreign network's input, as a JSON file or in
//! one line. What the network itself tells (size, layout, number type) may be left
//! out; what it cannot tell (fit, mean, std) must be said.

use std::path::Path;

use anyhow::{Context, anyhow, bail};
use etalase::{Colour, Engine, Fit, InputType, Layout, Preprocess, TensorType, files};
use serde::Deserialize;

/// The part of `etalase pack --help` that explains this.
pub const HELP: &str = "\
How photos become the network's input: a JSON file, or key=value pairs.

  fit     stretch | letterbox | center-crop (required)
  input   u8 | f32 (default: the model's)
  mean    f32 only: (pixel / 255 - mean) / std, one number or three, R:G:B
  std     f32 only: as mean
  layout  nhwc | nchw (default: by the model's input shape)
  colour  rgb | bgr (default: rgb; mean and std are in the tensor's order)
  fill    grey level beside a letterboxed photo (default: 128)
  width, height  px (default: the model's)

Examples:
  --preprocess fit=stretch,input=u8
  --preprocess fit=center-crop,input=f32,mean=0.485:0.456:0.406,std=0.229:0.224:0.225,layout=nchw

A JSON file has the same keys, as in a bundle's manifest, input being \"u8\" or
{\"f32\": {\"mean\": [0.485, 0.456, 0.406], \"std\": [0.229, 0.224, 0.225]}}.";

/// What was said; the rest comes from the network.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    width: Option<u32>,
    height: Option<u32>,
    fit: Option<Fit>,
    fill: Option<u8>,
    colour: Option<Colour>,
    layout: Option<Layout>,
    input: Option<InputType>,
}

impl Spec {
    /// Reads `argument`: key=value pairs, or a JSON file.
    pub fn read(argument: &str) -> anyhow::Result<Spec> {
        let path = Path::new(argument);
        if argument.contains('=') && !path.exists() {
            return Spec::parse(argument).with_context(|| format!("--preprocess {argument}"));
        }
        let bytes = files::read(path)?;
        serde_json::from_slice(&bytes).map_err(|error| anyhow!("{argument}: {error}"))
    }

    fn parse(text: &str) -> anyhow::Result<Spec> {
        let mut spec = Spec::default();
        let (mut is_float, mut mean, mut std) = (None, None, None);
        for pair in text.split(',') {
            let Some((key, value)) = pair.split_once('=') else {
                bail!("{pair:?} is not key=value");
            };
            let wrong = || format!("{key}={value}");
            match key.trim() {
                "width" => spec.width = Some(value.parse().with_context(wrong)?),
                "height" => spec.height = Some(value.parse().with_context(wrong)?),
                "fill" => spec.fill = Some(value.parse().with_context(wrong)?),
                "fit" => spec.fit = Some(value.parse()?),
                "colour" | "color" => spec.colour = Some(word(value).with_context(wrong)?),
                "layout" => spec.layout = Some(word(value).with_context(wrong)?),
                "mean" => mean = Some(three(value).with_context(wrong)?),
                "std" => std = Some(three(value).with_context(wrong)?),
                "input" => match value {
                    "u8" => is_float = Some(false),
                    "f32" => is_float = Some(true),
                    _ => bail!("input is u8 or f32, not {value:?}"),
                },
                other => bail!(
                    "unknown key {other:?}; there are fit, input, mean, std, layout, colour, fill, \
                     width, height"
                ),
            }
        }
        spec.input = match (is_float, mean, std) {
            (Some(false), None, None) => Some(InputType::U8),
            (Some(false), _, _) => bail!("mean and std are for input=f32"),
            (None, None, None) => None,
            (_, Some(mean), Some(std)) => Some(InputType::F32 { mean, std }),
            _ => bail!("a f32 input needs mean and std (0 and 1 for plain pixel / 255)"),
        };
        Ok(spec)
    }

    /// Completes what was said by what the network's input tells. Whether the two
    /// agree is checked when the bundle is tried.
    pub fn complete(self, engine: &Engine) -> anyhow::Result<Preprocess> {
        let shape = engine.input_shape();
        let &[_, a, b, c] = shape else {
            bail!("the model's input has shape {shape:?}; an image's has four sides");
        };
        let layout = match (self.layout, a == 3, c == 3) {
            (Some(layout), _, _) => layout,
            (None, true, false) => Layout::Nchw,
            (None, false, true) => Layout::Nhwc,
            (None, true, true) => {
                bail!("the model's input {shape:?} can be read in two ways: say layout")
            }
            (None, false, false) => bail!("the model's input {shape:?} has no side of 3 colours"),
        };
        let (height, width) = match layout {
            Layout::Nchw => (b, c),
            _ => (a, b),
        };
        let input = match (self.input, engine.input_type()) {
            (Some(input), _) => input,
            (None, TensorType::U8) => InputType::U8,
            (None, TensorType::F32) => {
                bail!("the model takes f32: say mean and std (0 and 1 for plain pixel / 255)")
            }
            (None, other) => bail!("the model takes {other}; a bundle's network takes u8 or f32"),
        };
        let Some(fit) = self.fit else {
            bail!("say how photos are brought to size: fit=stretch, letterbox or center-crop");
        };
        let preprocess = Preprocess {
            width: self.width.unwrap_or(u32::try_from(width)?),
            height: self.height.unwrap_or(u32::try_from(height)?),
            fit,
            fill: self.fill.unwrap_or(128),
            colour: self.colour.unwrap_or(Colour::Rgb),
            layout,
            input,
        };
        preprocess.check()?;
        Ok(preprocess)
    }
}

/// A word of the manifest, such as `nchw`.
fn word<T: serde::de::DeserializeOwned>(text: &str) -> anyhow::Result<T> {
    Ok(serde_json::from_value(text.into())?)
}

/// `a:b:c`, or `a` for all three.
fn three(text: &str) -> anyhow::Result<[f32; 3]> {
    let numbers: Vec<f32> = text.split(':').map(str::parse).collect::<Result<_, _>>()?;
    match *numbers.as_slice() {
        [all] => Ok([all; 3]),
        [a, b, c] => Ok([a, b, c]),
        _ => bail!("one number or three, such as 0.485:0.456:0.406"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_line() {
        let line = "fit=center-crop,input=f32,mean=0.485:0.456:0.406,std=0.5,layout=nchw,colour=bgr,\
                    fill=7,width=8,height=9";
        let spec = Spec::parse(line).expect("parses");
        assert_eq!(spec.fit, Some(Fit::CenterCrop));
        assert_eq!(spec.layout, Some(Layout::Nchw));
        assert_eq!(spec.colour, Some(Colour::Bgr));
        assert_eq!(
            (spec.width, spec.height, spec.fill),
            (Some(8), Some(9), Some(7))
        );
        let (mean, std) = ([0.485, 0.456, 0.406], [0.5; 3]);
        assert_eq!(spec.input, Some(InputType::F32 { mean, std }));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for line in [
            "fit=crop",
            "fit",
            "width=a",
            "layout=hwcn",
            "colour=grey",
            "mean=1:2",
            "input=f16",
            "input=f32",
            "input=u8,mean=0,std=1",
            "mean=0",
            "speed=fast",
            "fill=300",
        ] {
            assert!(Spec::parse(line).is_err(), "{line}");
        }
    }
}
