# SPDX-License-Identifier: BSD-3-Clause
from pupitre.compiler import HASH_SEED, murmur2
from pupitre.compiler import CellCompiler as XCachingCompiler
from pupitre.compiler import cell_folder as get_tmp_directory
from pupitre.compiler import cell_name as get_file_name

__all__ = ["XCachingCompiler", "get_file_name", "get_tmp_directory", "get_tmp_hash_seed", "murmur2_x86"]


def murmur2_x86(data: str, seed: int) -> int:
    return murmur2(data.encode("utf-8", "surrogatepass"), seed)


def get_tmp_hash_seed() -> int:
    return HASH_SEED
