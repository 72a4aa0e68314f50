"""What the routes answer, and what they refuse."""

import io
import json
import shlex
import subprocess
import sys
import zipfile

import httpx
import numpy as np
import pytest
from conftest_studio import WALK, Client, scene, serving, until
from PIL import Image
