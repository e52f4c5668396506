//! Flags that several subcommands share: photos, network, weights, device.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, ValueEnum};
use etalase::photo::Fit;
use etalase::preprocess::Preprocess;
use etalase_trainer::backbones::Backbone;
use etalase_trainer::data::{self, Labelled};
use etalase_trainer::files::read_json;
use etalase_trainer::network::Precision;
use etalase_trainer::pretrained;
use etalase_trainer::split::{self, Senders};
use etalase_trainer::train::fit::{Job, Keep};
use etalase_trainer::train::recipe::Recipe;
use etalase_trainer::train::state::Start;
use etalase_trainer::train::teacher::{self, Teachers};
use etalase_trainer::weights::{self, Weights};
use tch::Device;

/// Which photos, which network.
#[derive(Args, Clone)]
pub struct Source {
    /// The photos
    #[command(flatten)]
    pub photos: Photos,
    /// Network to train
    #[arg(long, default_value = "mobilenet_v1")]
    pub backbone: Backbone,
    /// ImageNet weights of the network without top: Keras' .h5, this trainer's .safetensors, or for densenet121
    /// torchvision's or timm's .safetensors
    // Without a file a network is trained from scratch: `all` may do so, here forgetting it must not.
    #[arg(long, value_name = "FILE", required = true)]
    pub weights: Option<PathBuf>,
    /// Side of the network's input in pixels; the backbone's own where not given: 224, nasnet_large 331
    #[arg(long, value_parser = clap::value_parser!(u32).range(32..=2048))]
    pub size: Option<u32>,
    /// Device and number format
    #[command(flatten)]
    pub compute: Compute,
}

/// What to fit, and what to choose by.
#[derive(Args, Clone)]
pub struct Photos {
    /// Training photos, a folder per class
    #[arg(long, value_name = "DIR")]
    pub train: PathBuf,
    /// Photos to choose by, a folder per class; where not given, a share of the training photos is held out (recipe:
    /// validation_split)
    #[arg(long, value_name = "DIR")]
    pub validation: Option<PathBuf>,
    /// CSV files with columns image and sender_id: where photos are split, those of one sender stay together
    #[arg(long, value_name = "FILE,…", value_delimiter = ',')]
    pub senders: Vec<PathBuf>,
    /// More training photos: a folder with labels.csv (columns image and label)
    #[arg(long, value_name = "DIR", requires = "label_map")]
    pub extra: Option<PathBuf>,
    /// JSON object from labels of labels.csv to class names; labels that it doesn't name are left out
    #[arg(long, value_name = "FILE", requires = "extra")]
    pub label_map: Option<PathBuf>,
}

/// Photos to fit, and photos to choose by.
pub struct Sides {
    /// To fit, `extra` included.
    pub training: Vec<Labelled>,
    /// To choose by.
    pub validation: Vec<Labelled>,
}

impl Photos {
    /// Both sides, as the flags or the recipe's split say.
    pub fn sides(&self, recipe: &Recipe) -> Result<Sides> {
        if let Some(dir) = &self.validation {
            return Ok(Sides {
                training: self.all()?,
                validation: data::folders(dir)?,
            });
        }
        let train = data::folders(&self.train)?;
        let senders = self.senders()?;
        let (train, validation) =
            split::hold_out(train, &senders, recipe.validation_split, recipe.seed);
        let more = split::without_senders_of(self.more()?, &validation, &senders);
        Ok(Sides {
            training: [train, more].concat(),
            validation,
        })
    }

    /// Those to fit where nothing is held out.
    pub fn all(&self) -> Result<Vec<Labelled>> {
        Ok([data::folders(&self.train)?, self.more()?].concat())
    }

    /// Whoever sent the photos, as far as the flags tell.
    pub fn senders(&self) -> Result<Senders> {
        Senders::read(&self.senders)
    }

    /// The photos of `extra` that the label map knows.
    pub fn more(&self) -> Result<Vec<Labelled>> {
        match (&self.extra, &self.label_map) {
            (Some(dir), Some(map)) => {
                let map: BTreeMap<String, String> = read_json(map)?;
                data::labelled_folder(dir, &map)
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// How a run begins and is kept.
#[derive(Args, Clone)]
pub struct RunFlags {
    /// Go on with the run that the folder holds, to the same end as if nothing had ended it
    #[arg(long, conflicts_with = "restart")]
    pub resume: bool,
    /// Begin anew, whatever the folder holds
    #[arg(long)]
    pub restart: bool,
    /// Seconds between saves within an epoch: the most that is lost where the run is ended
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    pub save_every: u64,
    /// Bundles of the same classes whose answers are learned too (recipe: teaching, temperature)
    #[arg(long, value_name = "BUNDLE", value_delimiter = ',')]
    pub teacher: Vec<PathBuf>,
}

impl RunFlags {
    /// Names of the bundles that teach.
    pub fn teachers(&self) -> Vec<String> {
        self.teacher
            .iter()
            .map(|path| teacher::name(path))
            .collect()
    }

    fn start(&self) -> Start {
        match (self.resume, self.restart) {
            (true, _) => Start::Resume,
            (_, true) => Start::Restart,
            _ => Start::New,
        }
    }
}

/// Device and number format.
#[derive(Args, Clone)]
pub struct Compute {
    /// Number format of activations; auto: bf16 where the processor multiplies it fast
    #[arg(long, value_enum, default_value = "auto")]
    pub precision: PrecisionChoice,
    /// The device
    #[command(flatten)]
    pub processor: Processor,
}

/// Where to compute.
#[derive(Args, Clone)]
pub struct Processor {
    /// Threads of libtorch; all cores where not given
    #[arg(long, value_parser = clap::value_parser!(i32).range(1..=1024))]
    pub threads: Option<i32>,
}

impl Processor {
    /// CUDA where libtorch and the machine have it, the CPU elsewhere.
    pub fn device(&self) -> Device {
        if let Some(threads) = self.threads {
            tch::set_num_threads(threads);
        }
        Device::cuda_if_available()
    }
}

/// `--precision`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum PrecisionChoice {
    /// By the device.
    Auto,
    /// f32.
    F32,
    /// bfloat16.
    Bf16,
}

impl Compute {
    /// The device.
    pub fn device(&self) -> Device {
        self.processor.device()
    }

    /// The number format.
    pub fn precision(&self) -> Precision {
        match self.precision {
            PrecisionChoice::F32 => Precision::F32,
            PrecisionChoice::Bf16 => Precision::Bf16,
            PrecisionChoice::Auto if self.device().is_cuda() || has_fast_bf16() => Precision::Bf16,
            PrecisionChoice::Auto => Precision::F32,
        }
    }
}

/// AVX-512 BF16 (AMX comes with it): elsewhere bfloat16 is emulated and slower than f32.
fn has_fast_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("avx512bf16");
    #[cfg(not(target_arch = "x86_64"))]
    return false;
}

impl Source {
    /// Side of the network's input in pixels.
    pub fn size(&self) -> u32 {
        self.size.unwrap_or(self.backbone.default_size())
    }

    /// A fine-tuning job over these photos, into the folder `out`.
    pub fn job(&self, fit: Fit, recipe: Recipe, out: PathBuf, run: &RunFlags) -> Result<Job> {
        let sides = self.photos.sides(&recipe)?;
        self.job_on(sides, fit, recipe, out, run)
    }

    /// A fine-tuning job over photos that are split already.
    pub fn job_on(
        &self,
        sides: Sides,
        fit: Fit,
        mut recipe: Recipe,
        out: PathBuf,
        run: &RunFlags,
    ) -> Result<Job> {
        // The checkpoint says how many they were, whatever the default becomes.
        recipe.freeze_layers = Some(recipe.frozen(self.backbone));
        recipe.trained_blocks = None;
        if self.weights.is_none() {
            // Random layers are worth neither keeping nor probing; without frozen ones there are no views.
            recipe.freeze_layers = Some(0);
            recipe.probe_steps = 0;
            recipe.views = 0;
        }
        Ok(Job {
            backbone: self.backbone,
            features: self.features(recipe.seed)?,
            train: sides.training,
            validation: sides.validation,
            keep: Keep::Best,
            preprocess: Preprocess::u8_nhwc(self.size(), self.size(), fit),
            recipe,
            device: self.compute.device(),
            precision: self.compute.precision(),
            out,
            teachers: Teachers::open(&run.teacher)?,
            start: run.start(),
            save_every: Duration::from_secs(run.save_every),
        })
    }

    /// The trunk's weights, centred on the zero point; without a file random ones, drawn from the seed.
    pub fn features(&self, seed: u64) -> Result<Weights> {
        match &self.weights {
            Some(path) => pretrained::load(self.backbone, path, self.size()),
            None => {
                self.backbone.check_size(self.size())?;
                let graph = self.backbone.features(self.size() as usize);
                Ok(weights::initial(&graph, seed))
            }
        }
    }
}
