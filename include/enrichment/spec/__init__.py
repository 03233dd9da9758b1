"""The content of a pipeline's folder, checked: settings, query, prompts, schema. Begin with pipeline_folder.py."""
