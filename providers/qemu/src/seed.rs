//! The NoCloud seed: a FAT image labelled `cidata` with the first-boot data, byte for byte.
//!
//! Format: docs.cloud-init.io, "NoCloud". qemu's own vvfat was tried: it pads the last file with zeros,
//! and cloud-init then refuses the YAML.

use std::io::{self, Cursor, Write};

use fatfs::{FatType, FileSystem, FormatVolumeOptions, FsOptions};

/// Room for FAT's own tables and the small files.
const OVERHEAD: usize = 1 << 20;

/// Makes the image for a machine called `name`; cloud-init runs its first-boot work once for each `instance_id`.
pub(crate) fn image(instance_id: &str, name: &str, user_data: &[u8]) -> io::Result<Vec<u8>> {
    let size = (user_data.len() + OVERHEAD).next_multiple_of(OVERHEAD);
    let mut disk = Cursor::new(vec![0; size]);
    let options = FormatVolumeOptions::new().volume_label(*b"cidata     ").fat_type(FatType::Fat12);
    fatfs::format_volume(&mut disk, options)?;
    {
        let fs = FileSystem::new(&mut disk, FsOptions::new())?;
        // Names and ids are words without quotes (`store::check_name`); JSON is YAML, whatever they are.
        let meta = serde_json::json!({ "instance-id": instance_id, "local-hostname": name }).to_string();
        for (file, bytes) in [("meta-data", meta.as_bytes()), ("user-data", user_data)] {
            let mut file = fs.root_dir().create_file(file)?;
            file.truncate()?;
            file.write_all(bytes)?;
        }
        fs.unmount()?;
    }
    Ok(disk.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_data_reads_back_byte_for_byte() {
        let data: Vec<u8> = (0..700_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
        for data in [&data[..], b"", b"x"] {
            let image = image("t", "m", data).unwrap();
            let fs = FileSystem::new(Cursor::new(image), FsOptions::new()).unwrap();
            assert_eq!(fs.volume_label(), "cidata");
            let mut read = Vec::new();
            fs.root_dir().open_file("user-data").unwrap().read_to_end(&mut read).unwrap();
            assert_eq!(read, data);
            let mut meta = String::new();
            fs.root_dir().open_file("meta-data").unwrap().read_to_string(&mut meta).unwrap();
            assert_eq!(meta, r#"{"instance-id":"t","local-hostname":"m"}"#);
        }
    }
}
