"""The form on Evaluate that takes someone's own model into the store, where it is a run like any other."""

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from app import access, elements, texts, uploads
from app.engine import brought_models, dataset_downloads, errors, outside

SOURCES = {"path": "File on this machine", "upload": "Upload", "factory": "Python"}
USUAL = "the data set's usual one"


def own_model(*, expanded: bool) -> None:
    """Ask for weights or a factory, and for how they are to be read."""
    with st.expander("A model of your own", expanded=expanded, icon=":material/upload_file:"):
        st.caption(
            "A state dict (.pt, .pth or .safetensors; never unpickled) with a network that is known here, or "
            "package.module:factory of yours. It is read once and becomes a run."
        )
        kind = st.segmented_control(
            "From",
            list(SOURCES),
            default="path",
            required=True,
            format_func=SOURCES.__getitem__,
            key="own_source",
        )
        with st.form("own_model", border=False):
            source, uploaded, key = _ask_for_source(kind or "path")
            dataset, model, normalize, name = _ask_for_reading(kind or "path")
            missing = outside.is_missing(dataset)
            sent = st.form_submit_button("Add this model", icon=":material/add:")
        if missing and (sent or dataset_downloads.fetch_job(dataset) is not None):
            elements.missing_dataset(dataset)
        elif sent:
            with elements.explained_errors(), st.spinner("Reading the model"):
                if kind == "upload" and uploaded is None:
                    raise errors.ConfigError("no file is chosen; choose the weights file to upload")
                if uploaded is not None and kind == "upload":
                    run = brought_models.add_uploaded_model(
                        uploaded.name, uploaded.getvalue(), dataset, model, normalize, name, key
                    )
                else:
                    run = brought_models.add_model(source, dataset, model, normalize, name)
                st.session_state["evaluate_next"] = [run.id]
                st.session_state["notice"] = (
                    "success",
                    texts.plain(f"{run.name} is a run now, and chosen below: {run.status.message}."),
                )
                st.rerun()


def _ask_for_source(kind: str) -> tuple[str, UploadedFile | None, str]:
    """Ask for a path or a factory, for an upload, and for the branch of an upload."""
    if kind == "upload":
        if access.may_start():
            uploads.offer_uploads()
        uploaded = st.file_uploader(
            "Weights file",
            type=["pt", "pth", "safetensors"],
            key="own_upload",
            help="Up to 200 MB.",
            disabled=not access.may_start(),
        )
        branch = st.text_input(
            "Branch",
            placeholder="the one that fits",
            key="own_branch",
            help="Where a file holds several sets of weights (raw and EMA, best and last): what stands "
            "before their names, such as ema or best/model.",
        )
        return "", uploaded, branch.strip()
    if kind == "factory":
        text = st.text_input(
            "Factory",
            placeholder="package.module:factory",
            key="own_factory",
            help="Importable from the folder that the dashboard was started in. It takes nothing and returns "
            "a model that maps images in [0, 1] to logits.",
        )
        return text, None, ""
    path = st.text_input(
        "Path",
        placeholder="/path/to/weights.pt",
        key="own_path",
        help="Where a file holds several sets of weights (raw and EMA, best and last), FILE#ema names one.",
    )
    return path, None, ""


def _ask_for_reading(kind: str) -> tuple[str, str, str, str]:
    first, second = st.columns(2)
    dataset = first.selectbox(
        "Data set",
        [name for name in outside.dataset_names() if name != "folder"],
        accept_new_options=True,
        key="own_dataset",
        help="The one it was trained for; folder:PATH is an image folder.",
    )
    model = USUAL
    if kind != "factory":
        model = second.selectbox(
            "Network",
            [USUAL, *brought_models.MODELS],
            accept_new_options=True,
            key="own_model",
            help="package.module:factory is one of your own.",
        )
    normalize = first.selectbox(
        "Normalisation",
        ["none", "dataset"],
        accept_new_options=True,
        key="own_normalize",
        help="What happens to an image in [0, 1] before the network sees it: nothing, the data set's mean "
        "and standard deviation, or MEAN/STD such as 0.49,0.48,0.45/0.2,0.2,0.2.",
    )
    name = second.text_input("Name", placeholder="the file's", key="own_name", max_chars=100)
    return str(dataset or ""), "" if model in (None, USUAL) else str(model), str(normalize or "none"), name
