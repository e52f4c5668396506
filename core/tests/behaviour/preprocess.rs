//! Layout, channel order and normalization, value by value.

use etalase::{
    Colour, ErrorKind, Fit, Image, InputType, Layout, Photo, Preprocess, TensorData, photo,
};

/// 2 x 1 px: one of (1, 2, 3), one of (4, 5, 6).
fn photo() -> Image {
    Image::from_rgb(2, 1, vec![1, 2, 3, 4, 5, 6]).expect("an image")
}

fn preprocess(colour: Colour, layout: Layout, input: InputType) -> Preprocess {
    Preprocess {
        colour,
        layout,
        input,
        ..Preprocess::u8_nhwc(2, 1, Fit::Stretch)
    }
}

#[test]
fn every_layout_and_channel_order() {
    let cases = [
        (Colour::Rgb, Layout::Nhwc, [1, 2, 3, 4, 5, 6], [1, 1, 2, 3]),
        (Colour::Bgr, Layout::Nhwc, [3, 2, 1, 6, 5, 4], [1, 1, 2, 3]),
        (Colour::Rgb, Layout::Nchw, [1, 4, 2, 5, 3, 6], [1, 3, 1, 2]),
        (Colour::Bgr, Layout::Nchw, [3, 6, 2, 5, 1, 4], [1, 3, 1, 2]),
    ];
    let (mean, std) = ([0.1, 0.2, 0.3], [0.5, 0.25, 2.0]);
    for (colour, layout, values, shape) in cases {
        let tensor = preprocess(colour, layout, InputType::U8)
            .tensor(photo())
            .expect("u8");
        assert_eq!(tensor.shape(), shape);
        assert_eq!(tensor.data(), &TensorData::U8(values.to_vec()));

        let float = preprocess(colour, layout, InputType::F32 { mean, std });
        let tensor = float.tensor(photo()).expect("f32");
        assert_eq!(tensor.shape(), shape);
        let TensorData::F32(floats) = tensor.data() else {
            panic!("f32 wanted");
        };
        for (at, (float, value)) in floats.iter().zip(values).enumerate() {
            // mean and std are in the tensor's channel order, whatever the colour's.
            let channel = if layout == Layout::Nhwc {
                at % 3
            } else {
                at / 2
            };
            let wanted = (f32::from(value) / 255.0 - mean[channel]) / std[channel];
            assert_eq!(*float, wanted, "{colour:?} {layout:?} {at}");
        }
    }
}

#[test]
fn the_image_is_the_fitted_photo() {
    let photo = Image::from_rgb(4, 2, (0..24).collect()).expect("an image");
    let preprocess = Preprocess {
        fill: 9,
        ..Preprocess::u8_nhwc(4, 4, Fit::Letterbox)
    };
    let fitted = preprocess.fit(&Photo::from(&photo)).expect("fits").image;
    assert_eq!(
        fitted,
        photo::fit(&photo, 4, 4, Fit::Letterbox, [9; 3]).expect("fits")
    );
    assert_eq!(&fitted.pixels()[..12], [9; 12]);
}

#[test]
fn a_manifest_reads_as_it_is_written() {
    let (mean, std) = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]);
    let written = preprocess(Colour::Bgr, Layout::Nchw, InputType::F32 { mean, std });
    let json = serde_json::to_value(&written).expect("JSON");
    assert_eq!(json["colour"], "bgr");
    assert_eq!(json["layout"], "nchw");
    assert_eq!(json["fit"], "stretch");
    let read: Preprocess = serde_json::from_value(json.clone()).expect("reads");
    assert_eq!(read, written);
    let plain = serde_json::to_value(Preprocess::u8_nhwc(2, 1, Fit::CenterCrop)).expect("JSON");
    assert_eq!(plain["input"], "u8");

    let mut unknown = json;
    unknown["gamma"] = 2.2.into();
    assert!(serde_json::from_value::<Preprocess>(unknown).is_err());
}

#[test]
fn what_cannot_be_meant_is_refused() {
    let float = |mean, std| preprocess(Colour::Rgb, Layout::Nhwc, InputType::F32 { mean, std });
    for bad in [
        Preprocess::u8_nhwc(0, 1, Fit::Stretch),
        Preprocess::u8_nhwc(1, 5000, Fit::Stretch),
        float([f32::NAN, 0.0, 0.0], [1.0; 3]),
        float([0.0; 3], [1.0, 0.0, 1.0]),
        float([0.0; 3], [1.0, -1.0, 1.0]),
        float([0.0; 3], [1.0, f32::INFINITY, 1.0]),
    ] {
        let error = bad.tensor(photo()).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
