"""What a pipeline's folder says: settings, query, prompts and schema, checked. Begin with pipeline_folder.py."""
