"""The layouts and formats of dmix-data, through the hooks that every plugin uses."""

from collections.abc import Callable, Mapping

from dmix_core.hookspecs import hookimpl

from .formats.anomaly_pairs import AnomalyPairs
from .formats.class_pictures import ClassPictures
from .formats.coco_instances import CocoInstances
from .formats.huggingface_folder import HuggingFaceFolder
from .formats.mvtec_folders import MvtecFolders
from .formats.tar_shards import TarShards
from .formats.writing import Format
from .formats.yolo_segments import YoloSegments
from .layouts.anomalydiffusion import AnomalyDiffusion
from .layouts.base import Layout
from .layouts.camvid import CamVid
from .layouts.coco import COCO
from .layouts.crop_folder import CropFolder
from .layouts.generated import Generated
from .layouts.huggingface import HuggingFace
from .layouts.image_folder import ImageFolder
from .layouts.image_mask import ImageMask
from .layouts.kitti import KITTI
from .layouts.magnetic_tile import MagneticTile
from .layouts.mvtec import MVTec
from .layouts.semantic import Semantic
from .layouts.tiktok import TikTok
from .layouts.visa import VisA
from .layouts.webdataset import WebDataset
from .layouts.yolo import YOLO


@hookimpl
def dmix_layouts() -> Mapping[str, Callable[..., Layout]]:
    return {
        "anomalydiffusion": AnomalyDiffusion,
        "camvid": CamVid,
        "coco": COCO,
        "crops": CropFolder,
        "generated": Generated,
        "huggingface": HuggingFace,
        "image-folder": ImageFolder,
        "image-mask": ImageMask,
        "kitti": KITTI,
        "magnetic-tile": MagneticTile,
        "mvtec": MVTec,
        "semantic": Semantic,
        "tiktok": TikTok,
        "visa": VisA,
        "webdataset": WebDataset,
        "yolo-seg": YOLO,
    }


@hookimpl
def dmix_formats() -> Mapping[str, Callable[..., Format]]:
    return {
        "anomalydiffusion": AnomalyPairs,
        "coco": CocoInstances,
        "huggingface": HuggingFaceFolder,
        "mvtec": MvtecFolders,
        "semantic": ClassPictures,
        "webdataset": TarShards,
        "yolo-seg": YoloSegments,
    }
