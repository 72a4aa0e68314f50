"""The layouts of dmix-data, through the hook that every plugin uses."""

from collections.abc import Callable, Mapping

from dmix_core.hookspecs import hookimpl

from .layouts.base import Layout
from .layouts.camvid import CamVid
from .layouts.coco import COCO
from .layouts.crop_folder import CropFolder
from .layouts.image_folder import ImageFolder
from .layouts.image_mask import ImageMask
from .layouts.kitti import KITTI
from .layouts.magnetic_tile import MagneticTile
from .layouts.mvtec import MVTec
from .layouts.tiktok import TikTok
from .layouts.visa import VisA


@hookimpl
def dmix_layouts() -> Mapping[str, Callable[..., Layout]]:
    return {
        "camvid": CamVid,
        "coco": COCO,
        "crops": CropFolder,
        "image-folder": ImageFolder,
        "image-mask": ImageMask,
        "kitti": KITTI,
        "magnetic-tile": MagneticTile,
        "mvtec": MVTec,
        "tiktok": TikTok,
        "visa": VisA,
    }
