"""What of an app's choice a manager grants, and by which rule it refuses the rest."""

import msgspec
import pytest

from contracts.containers import (
    AskedContainer,
    ContainerChoice,
    ContainerOffer,
    allowed_by,
    canonical,
)
from executor_manager.containers.errors import (
    ImageNotAllowed,
    Refused,
    RuntimeMissing,
    TierRefused,
)
from executor_manager.containers.refusals import require

ONE, OTHER = (f"sha256:{digit * 64}" for digit in "12")
OFFER = ContainerOffer(
    images=["berth-executor:latest", "team/data:2", f"registry.example:5000/tools@{ONE}"],
    runtimes=["runsc", "io.containerd.runc.v2"],
    untrusted=[],
)


def test_nothing_in_particular__is_always_granted() -> None:
    require(ContainerOffer(), ContainerChoice())
    require(OFFER, ContainerChoice())


@pytest.mark.parametrize(
    ("image", "entry"),
    [
        ("berth-executor", "berth-executor:latest"),
        ("berth-executor:latest", "berth-executor:latest"),
        ("docker.io/library/berth-executor", "berth-executor:latest"),
        ("team/data:2", "team/data:2"),
        (f"team/data:2@{OTHER}", "team/data:2"),
        ("registry.example:5000/tools", f"registry.example:5000/tools@{ONE}"),
        (f"registry.example:5000/tools@{ONE}", f"registry.example:5000/tools@{ONE}"),
        (f"registry.example:5000/tools@{OTHER}", None),
        ("team/data", None),
        ("team/data:3", None),
        ("data:2", None),
        ("evil/team/data:2", None),
        ("berth-executor-evil", None),
        ("team/data:2\n", None),
        (ONE, None),
    ],
)
def test_image__is_allowed_by_its_whole_name_and_digest(image: str, entry: str | None) -> None:
    assert allowed_by(OFFER.images, image) == entry
    if entry is None:
        with pytest.raises(ImageNotAllowed, match="is not allowed; allowed: berth-executor:latest"):
            require(OFFER, ContainerChoice(image=image))
    else:
        require(OFFER, ContainerChoice(image=image))


def test_image__that_is_pinned_too_is_allowed_by_what_says_its_digest() -> None:
    entries = ["a:1", f"a:1@{ONE}"]
    assert allowed_by(entries, f"a:1@{ONE}") == f"a:1@{ONE}"
    assert allowed_by(entries, f"a:1@{OTHER}") == "a:1"
    assert allowed_by(entries, "a:1") == "a:1"


def test_name__a_port_is_no_tag() -> None:
    assert canonical("registry.example:5000/tools") == ("registry.example:5000/tools:latest", "")
    assert canonical(f"a/b:c@{ONE}") == ("a/b:c", ONE)


@pytest.mark.parametrize("runtime", ["runc", "crun", "/usr/bin/runsc", "RUNSC"])
def test_runtime__that_is_not_to_be_had_is_refused(runtime: str) -> None:
    with pytest.raises(RuntimeMissing, match="to be had: runsc"):
        require(OFFER, ContainerChoice(runtime=runtime))


def test_untrusted__runs_with_a_kernel_of_its_own_only() -> None:
    untrusted = ContainerChoice(tier="untrusted")
    require(OFFER, untrusted)
    assert OFFER.runtime_for(untrusted) == "runsc"
    assert OFFER.runtime_for(ContainerChoice()) == ""
    with pytest.raises(TierRefused, match="need a runtime with a kernel of its own"):
        require(OFFER, ContainerChoice(tier="untrusted", runtime="io.containerd.runc.v2"))
    without = msgspec.structs.replace(OFFER, runtimes=["io.containerd.runc.v2"])
    with pytest.raises(TierRefused, match="the default runtime is not such a one"):
        require(without, untrusted)


def test_unfit_runtime__is_refused_with_why_and_what_would_help() -> None:
    unfit = {"runsc": "nothing inside reaches: --host-uds=all", "crun": "broken"}
    offer = ContainerOffer(untrusted=[], unfit=unfit)
    with pytest.raises(RuntimeMissing, match="runsc to be had: nothing inside reaches: --host-uds"):
        require(offer, ContainerChoice(runtime="runsc"))
    with pytest.raises(TierRefused, match="such a one; runsc: nothing inside reaches") as told:
        require(offer, ContainerChoice(tier="untrusted"))
    assert "crun" not in str(told.value), "it has no kernel of its own anyway"


def test_untrusted__is_refused_with_every_reason_that_the_host_gave() -> None:
    holed = msgspec.structs.replace(OFFER, untrusted=["runc_version: CVE-1", "seccomp: none"])
    with pytest.raises(TierRefused, match=r"not taken: runc_version: CVE-1; seccomp: none"):
        require(holed, ContainerChoice(tier="untrusted"))
    require(holed, ContainerChoice(runtime="runsc"))


def test_offer__of_a_manager_that_says_nothing_grants_nothing() -> None:
    former = msgspec.json.decode(b"{}", type=ContainerOffer)
    for choice in (
        ContainerChoice(image="berth-executor"),
        ContainerChoice(runtime="runsc"),
        ContainerChoice(tier="untrusted"),
    ):
        with pytest.raises(Refused):
            require(former, choice)


@pytest.mark.parametrize(
    "body",
    [
        {"image": "a b"},
        {"image": "--privileged"},
        {"image": "a:"},
        {"image": "a@sha256:short"},
        {"image": "../a"},
        {"image": "a" * 500},
        {"runtime": "run sc"},
        {"runtime": "-runsc"},
        {"runtime": ""},
        {"tier": "root"},
        {"mounts": []},
    ],
)
def test_asked__is_a_name_and_nothing_else(body: dict[str, object]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(body, AskedContainer)


@pytest.mark.parametrize("image", ["a", "a:1", f"h.example:5000/a/b-c:1.2_x@{ONE}", "a__b/c.d"])
def test_asked__takes_what_engines_take(image: str) -> None:
    assert msgspec.convert({"image": image}, AskedContainer).image == image
