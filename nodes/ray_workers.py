"""Windows on several machines."""

from comfy_api.latest import io

from .host.windows.patch import with_settings
from .host.workers.crew import workers_of
from .shared_inputs import JOINT_MODEL


class RayWorkers(io.ComfyNode):
    """MODEL to MODEL: windows of a step are shared with processes on other machines, which load the same model."""

    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="RayWorkers",
            display_name="Ray Workers",
            category="joint diffusion",
            description="Shares the windows of every step with workers on other machines, by Ray. Each worker runs the "
            "nodes before this one to load the same model. Workers may join and go while you sample; the picture stays "
            "the same. Needs the package ray.",
            search_aliases=["ray", "several machines", "cluster", "distributed", "remote", "parallel", "network"],
            inputs=[
                io.Model.Input("model", tooltip="A model as it is sampled: nodes that load and patch it come before."),
                io.String.Input(
                    "address",
                    default="",
                    tooltip="Of the Ray cluster, as `ray start --head` prints it, such as 192.168.0.2:6379. Empty: "
                    "workers on the CPU of this machine, to try it.",
                ),
                io.Int.Input(
                    "workers",
                    default=2,
                    min=1,
                    max=1024,
                    tooltip="How many, beside this ComfyUI, which works too. Each takes a whole GPU, or a core where "
                    "the cluster has no GPU. If there is no room for all, the rest begin when machines join.",
                ),
            ],
            hidden=[io.Hidden.unique_id, io.Hidden.dynprompt],
            outputs=[JOINT_MODEL],
        )

    @classmethod
    def execute(cls, model, address, workers):
        if workers < 1:
            raise ValueError(f"workers: must be 1 or more, got {workers}; without workers remove Ray Workers.")
        shared = workers_of(model, address.strip(), workers, cls.hidden.dynprompt, cls.hidden.unique_id)
        return io.NodeOutput(with_settings(model, workers=shared))
